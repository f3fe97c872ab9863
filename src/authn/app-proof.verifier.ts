import type { OnModuleDestroy } from '@nestjs/common';
import type { Clock, MonotonicTime } from '../time/clock';
import { FairQueue } from '../concurrency/fair-queue';
import { TooManyRequests } from '../errors/request-errors';
import { BcryptThreads } from './bcrypt-threads';
import { canonicalAddress } from './peer-verifier';

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

/**
 * A hash takes 50 to 90 ms of a core. Turns go by the address of the connection, the only thing known of the sender that
 * is neither made up nor tells whether an app has the key. A line of 64 is what all apps of a user may send at once
 * through one proxy; how long it is costs nobody at another address anything.
 */
const TURNS = { maxUnderWay: 2, maxUnderWayOfOne: 2, maxWaiting: 128, maxWaitingOfOne: 64, maxWaitMs: 5_000 };

/** Verifies proofs off the event loop and accepts each of them once. */
export class AppProofVerifier implements OnModuleDestroy {
  private readonly turns: FairQueue;
  private readonly used = new UsedHashes();

  constructor(
    private readonly clock: Clock,
    time: MonotonicTime,
    private readonly threads = new BcryptThreads(),
  ) {
    this.turns = new FairQueue(TURNS, time, () => new TooManyRequests(1));
  }

  /**
   * Whether an app has the key makes no difference to status, time and turns: what is refused early is refused for its own
   * form and time, and everything else is compared with the hash that was sent.
   * @param appSecret undefined where no app has this key
   * @param peerAddress of the socket that the proof came by
   * @returns undefined where the proof is good
   * @throws TooManyRequests where no turn comes
   */
  async verify(
    proof: AppProof,
    appSecret: string | undefined,
    peerAddress: string | undefined,
  ): Promise<ProofRefusal | undefined> {
    const computed = BCRYPT_COST_10.exec(proof.hash)?.[1];
    const text = `${proof.appKey}${proof.timestampS}`;
    if (computed === undefined) return { cause: 'malformed' };
    const skewS = proof.timestampS - Math.floor(this.clock.nowMs() / 1000);
    if (Math.abs(skewS) > CLOCK_WINDOW_S) return { cause: 'clock_skew', skewS };
    if (Buffer.byteLength(text) > BCRYPT_BYTES - MIN_SECRET_BYTES_READ) return { cause: 'key_too_long' };
    const line = canonicalAddress(peerAddress ?? '') ?? '';
    // $2a$ (Go) and $2y$ (PHP) name the same algorithm as $2b$.
    const matches = await this.turns.run(line, () =>
      this.threads.compare(`${text}${appSecret ?? ''}`, `$2b$10$${computed}`),
    );
    if (appSecret === undefined) return { cause: 'unknown_key' };
    if (!matches) return { cause: 'wrong_secret' };
    return this.used.add(computed, proof.timestampS, this.clock.nowMs()) ? undefined : { cause: 'replayed' };
  }

  async onModuleDestroy(): Promise<void> {
    await this.threads.close();
  }
}

/** At 25 hashes a second none of them is pushed out within its time; none would be, either. */
const MAX_REMEMBERED = 10_000;

/** The hashes that were accepted. One is forgotten to make room only, and only when its time is long over. */
class UsedHashes {
  /** Until when each may still be in line, on the clock on the wall. */
  private readonly untilMs = new Map<string, number>();

  /** False where it was used before. @throws TooManyRequests where it could not be remembered */
  add(hash: string, timestampS: number, nowMs: number): boolean {
    if (this.untilMs.has(hash)) return false;
    if (this.untilMs.size >= MAX_REMEMBERED) this.forgetBefore(nowMs);
    if (this.untilMs.size >= MAX_REMEMBERED) throw new TooManyRequests(1);
    this.untilMs.set(hash, (timestampS + CLOCK_WINDOW_S + 1) * 1000 + 2 * TURNS.maxWaitMs);
    return true;
  }

  private forgetBefore(nowMs: number): void {
    for (const [hash, untilMs] of this.untilMs) if (untilMs <= nowMs) this.untilMs.delete(hash);
  }
}
