package olaressecrets

import "time"

// SetAskAgainAfter changes how long an operation that was refused is not asked for.
func SetAskAgainAfter(duration time.Duration) { askAgainAfter = duration }

// RenewNow has the token for all operations renewed by the next call.
func (v *Vault) RenewNow() {
	tokens := v.inner().credentials.(*accessTokens).all
	tokens.mu.Lock()
	defer tokens.mu.Unlock()
	tokens.token.renewAt = time.Now()
}

// AwaitRequest waits for the request for a token that is under way.
func (v *Vault) AwaitRequest() {
	tokens := v.inner().credentials.(*accessTokens).all
	tokens.mu.Lock()
	request := tokens.pending
	tokens.mu.Unlock()
	if request != nil {
		<-request.done
	}
}
