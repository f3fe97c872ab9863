import { Semaphore } from 'async-mutex';
import { compare } from 'bcrypt';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock/clock';
import { TooManyRequests } from '../errors/request-errors';

/** What an app shows to get an access token: bcrypt(appKey + timestamp + appSecret), cost 10. */
export interface AppProof {
  readonly appKey: string;
  /** Unix seconds, as a whole number. */
  readonly timestampS: number;
  readonly hash: string;
}

/** Why a proof was refused: for the log. Whoever sent it gets one answer for all of them. */
export type ProofRefusal =
  | { readonly cause: 'malformed' | 'key_too_long' | 'unknown_key' | 'wrong_secret' | 'replayed' }
  /** `skewS`: how far the proof's timestamp is ahead of our clock. */
  | { readonly cause: 'clock_skew'; readonly skewS: number };

const CLOCK_WINDOW_S = 10;
/** bcrypt reads 72 bytes and no more; with less left for the secret, a proof would prove too little. */
const BCRYPT_BYTES = 72;
const MIN_SECRET_BYTES_READ = 16;
/** A hash names its own cost, and cost 31 takes days: only cost 10 is computed. */
const BCRYPT_COST_10 = /^\$2[aby]\$10\$([./A-Za-z0-9]{53})$/;
/** Compared with where no app has the key, so that both answers take the same time. */
const NOBODYS_HASH = '$2b$10$CwTycUXWue0Thq9StjUM0uJ8Vj9eQ8Xw9B2m1l5W5QKq3f1XyB0e2';

/**
 * Hashing takes 90 ms of a core each: two at a time leave the thread pool to everybody else. Proofs for keys that nobody
 * has wait in a line of their own, and few for each key that somebody has: whoever floods, floods only themself.
 */
const HASHES_AT_ONCE = 2;
const MAX_WAITING = 64;
const MAX_WAITING_FOR_NOBODY = 8;
const MAX_WAITING_FOR_ONE_KEY = 8;
const MAX_REMEMBERED = 100_000;

/** The line of the keys that no app has; no app key is empty. */
const NOBODY = '';

/** Verifies proofs off the event loop and accepts each of them once. */
export class AppProofVerifier {
  private readonly used: LRUCache<string, true>;
  private readonly known = new Semaphore(HASHES_AT_ONCE);
  private readonly unknown = new Semaphore(1);
  private readonly waiting = new Map<string, number>();

  constructor(private readonly clock: Clock) {
    const ttl = 2 * CLOCK_WINDOW_S * 1000 + 1000;
    this.used = new LRUCache({ max: MAX_REMEMBERED, ttl, perf: { now: () => clock.nowMs() } });
  }

  /**
   * @param appSecret undefined where no app has this key; it takes as long and is refused
   * @returns undefined where the proof is good
   * @throws TooManyRequests when too many proofs wait already
   */
  async verify(proof: AppProof, appSecret: string | undefined): Promise<ProofRefusal | undefined> {
    const computed = BCRYPT_COST_10.exec(proof.hash)?.[1];
    const text = `${proof.appKey}${proof.timestampS}`;
    if (computed === undefined) return { cause: 'malformed' };
    const skewS = proof.timestampS - Math.floor(this.clock.nowMs() / 1000);
    if (Math.abs(skewS) > CLOCK_WINDOW_S) return { cause: 'clock_skew', skewS };
    if (Buffer.byteLength(text) > BCRYPT_BYTES - MIN_SECRET_BYTES_READ) return { cause: 'key_too_long' };
    if (this.used.has(computed)) return { cause: 'replayed' };
    // $2y$ (PHP) names the same algorithm as $2b$.
    const hash = appSecret === undefined ? NOBODYS_HASH : `$2b$10$${computed}`;
    const line = appSecret === undefined ? NOBODY : proof.appKey;
    const matches = await this.inLine(line, () => compare(`${text}${appSecret ?? ''}`, hash));
    if (appSecret === undefined) return { cause: 'unknown_key' };
    if (!matches) return { cause: 'wrong_secret' };
    // Asked again: an equal proof may have been accepted meanwhile.
    if (this.used.has(computed)) return { cause: 'replayed' };
    this.used.set(computed, true);
    return undefined;
  }

  private async inLine(key: string, work: () => Promise<boolean>): Promise<boolean> {
    const ofKey = this.waiting.get(key) ?? 0;
    const all = [...this.waiting.values()].reduce((sum, count) => sum + count, 0);
    const isFull =
      key === NOBODY
        ? ofKey >= MAX_WAITING_FOR_NOBODY
        : ofKey >= MAX_WAITING_FOR_ONE_KEY || all >= MAX_WAITING;
    if (isFull) throw new TooManyRequests(1);
    this.waiting.set(key, ofKey + 1);
    try {
      return await (key === NOBODY ? this.unknown : this.known).runExclusive(work);
    } finally {
      const left = (this.waiting.get(key) ?? 1) - 1;
      if (left === 0) this.waiting.delete(key);
      else this.waiting.set(key, left);
    }
  }
}
