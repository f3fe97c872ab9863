import type { Clock } from '../clock/clock';
import { type Rotating, stillGood } from '../rotation/rotating';

/** Contract, section 4: an access token lives five minutes. */
export const ACCESS_TOKEN_LIFETIME_MS = 5 * 60_000;

/** A kubelet takes up to a minute and a half to write a changed Secret; replicas on other nodes may be that much apart. */
export const REPLICAS_AGREE_WITHIN_MS = 2 * 60_000;

/**
 * Which keys count while one takes over from another. A new key verifies at once and signs once every replica knows it;
 * the old one verifies until the last token is over that a replica signed with it.
 */
export class AccessTokenKeys {
  constructor(
    private readonly key: Rotating<Uint8Array>,
    private readonly clock: Clock,
  ) {}

  signing(): Uint8Array {
    const versions = this.key.versions();
    const knownSinceMs = this.clock.nowMs() - REPLICAS_AGREE_WITHIN_MS;
    const known = versions.find(({ sinceMs }) => sinceMs <= knownSinceMs) ?? versions.at(-1);
    return known?.value ?? this.key.current();
  }

  /** The current one first. */
  verifying(): readonly Uint8Array[] {
    const graceMs = 2 * REPLICAS_AGREE_WITHIN_MS + ACCESS_TOKEN_LIFETIME_MS;
    return stillGood(this.key, graceMs, this.clock.nowMs());
  }
}
