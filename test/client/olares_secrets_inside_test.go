package olaressecrets

import "time"

// SetAskAgainAfter changes how long an operation that was refused is not asked for.
func SetAskAgainAfter(duration time.Duration) { askAgainAfter = duration }
