import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { OnModuleDestroy } from '@nestjs/common';
import { FairQueue } from '../concurrency/fair-queue';
import { TooManyRequests } from '../errors/request-errors';
import type { Clock, MonotonicTime } from '../time/clock';
import { canonicalAddress } from './peer-verifier';

/** An app's proof that it knows its secret: bcrypt(appKey + timestamp + appSecret) with cost 10. */
export interface AppProof {
  readonly appKey: string;
  /** Unix seconds, as a whole number. */
  readonly timestampS: number;
  readonly hash: string;
}

/** Why a proof was refused, for the log alone: the sender gets the same answer for every cause. */
export type ProofRefusal =
  | { readonly cause: 'malformed' | 'key_too_long' | 'unknown_key' | 'wrong_secret' | 'replayed' }
  /** `skewS`: how far the proof's timestamp is ahead of our clock. */
  | { readonly cause: 'clock_skew'; readonly skewS: number };

/** How far the clocks of an app and of this service may differ. */
export const CLOCK_WINDOW_S = 10;
/** bcrypt reads 72 bytes and no more; with fewer left for the secret, a proof would prove too little. */
const BCRYPT_BYTES = 72;
const MIN_SECRET_BYTES_READ = 16;
/** A hash names its own cost, and cost 31 takes days: only cost 10 is computed. */
const BCRYPT_COST_10 = /^\$2[aby]\$10\$([./A-Za-z0-9]{53})$/;

/**
 * A hash takes 50 to 90 ms of a core. The queue is fair between the addresses of connections: the address is the only thing
 * known of the sender that cannot be made up and does not tell whether an app has the key. 64 waiting proofs are what all
 * apps of a user may send at once through one proxy; they delay nobody at another address.
 */
const QUEUE_BOUNDS = {
  maxRunning: 2,
  maxRunningPerKey: 2,
  maxWaiting: 128,
  maxWaitingPerKey: 64,
  maxWaitMs: 5_000,
};

/** Verifies proofs off the event loop and accepts each of them once. */
export class AppProofVerifier implements OnModuleDestroy {
  private readonly queue: FairQueue;
  private readonly used = new UsedHashes();

  constructor(
    private readonly clock: Clock,
    time: MonotonicTime,
    private readonly threads = new BcryptThreads(),
  ) {
    this.queue = new FairQueue(QUEUE_BOUNDS, time, () => new TooManyRequests(1));
  }

  /**
   * Whether an app has the key makes no difference to status, time and queueing: a proof is refused early only for its own
   * form and timestamp, and every other one is compared with the hash that was sent.
   * @param appSecret undefined where no app has this key
   * @param peerAddress address of the socket that the proof came by
   * @returns undefined where the proof is good
   * @throws TooManyRequests (429) where the queue is full or the wait too long
   */
  async verify(
    proof: AppProof,
    appSecret: string | undefined,
    peerAddress: string | undefined,
  ): Promise<ProofRefusal | undefined> {
    const computed = BCRYPT_COST_10.exec(proof.hash)?.[1];
    if (computed === undefined) return { cause: 'malformed' };
    const skewS = proof.timestampS - Math.floor(this.clock.nowMs() / 1000);
    if (Math.abs(skewS) > CLOCK_WINDOW_S) return { cause: 'clock_skew', skewS };
    const text = `${proof.appKey}${proof.timestampS}`;
    if (Buffer.byteLength(text) > BCRYPT_BYTES - MIN_SECRET_BYTES_READ) return { cause: 'key_too_long' };
    // $2a$ (Go) and $2y$ (PHP) name the same algorithm as $2b$.
    const matches = await this.queue.run(canonicalAddress(peerAddress ?? '') ?? '', () =>
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

/** More than the threads can compute within the time that a hash is remembered, at 25 hashes a second. */
const MAX_REMEMBERED = 10_000;

/** Remembers the accepted hashes. A hash is forgotten only to make room, and only once its timestamp is refused anyway. */
class UsedHashes {
  /** When each hash may be forgotten, in wall-clock time. */
  private readonly untilMs = new Map<string, number>();

  /** Returns false where the hash was used before. @throws TooManyRequests where it cannot be remembered */
  add(hash: string, timestampS: number, nowMs: number): boolean {
    if (this.untilMs.has(hash)) return false;
    if (this.untilMs.size >= MAX_REMEMBERED) this.forgetBefore(nowMs);
    if (this.untilMs.size >= MAX_REMEMBERED) throw new TooManyRequests(1);
    // The same proof may still wait in the queue.
    this.untilMs.set(hash, (timestampS + CLOCK_WINDOW_S + 1) * 1000 + 2 * QUEUE_BOUNDS.maxWaitMs);
    return true;
  }

  private forgetBefore(nowMs: number): void {
    for (const [hash, untilMs] of this.untilMs) if (untilMs <= nowMs) this.untilMs.delete(hash);
  }
}

const WORKER = join(__dirname, 'bcrypt-worker.mjs');
/** Without limits V8 takes more memory than it needs. The thread gets no environment variable either. */
const THREAD_OPTIONS = {
  env: {},
  resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
};

/**
 * Runs bcrypt on worker threads. On libuv's threads, which bcrypt uses by itself, reads of the embedded store would wait
 * behind it: each proof takes 50 to 90 ms of a core. A thread is started when none is free, and kept.
 */
export class BcryptThreads {
  readonly #all = new Set<Worker>();
  readonly #free: Worker[] = [];
  #closed = false;

  constructor(private readonly file = WORKER) {}

  /** Resolves to whether the hash is one of the text. Each concurrent call takes a thread, so the caller bounds the calls. */
  async compare(text: string, hash: string): Promise<boolean> {
    const work = { text, hash };
    try {
      return await this.#compareOn(this.#free.pop() ?? this.#start(), work);
    } catch {
      // A thread that died, perhaps for lack of memory, says nothing about the proof: try once more on a new one.
      return this.#compareOn(this.#start(), work);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  #start(): Worker {
    if (this.#closed) throw new Error('no more proofs: the service is shutting down');
    const worker = new Worker(this.file, THREAD_OPTIONS);
    this.#all.add(worker);
    // The calls that wait for the thread see its failure by its exit.
    worker.on('error', () => undefined);
    worker.once('exit', () => {
      this.#all.delete(worker);
      const at = this.#free.indexOf(worker);
      if (at >= 0) this.#free.splice(at, 1);
    });
    return worker;
  }

  async #compareOn(worker: Worker, work: { readonly text: string; readonly hash: string }): Promise<boolean> {
    worker.ref();
    const matches = await new Promise<boolean>((resolve, reject) => {
      const died = (): void => reject(new Error('the thread that compared the proof ended'));
      worker.once('exit', died);
      worker.once('message', (answer: unknown) => {
        worker.off('exit', died);
        resolve(answer === true);
      });
      worker.postMessage(work);
    });
    // A free thread keeps no process alive.
    worker.unref();
    // It may have died right after its answer.
    if (this.#all.has(worker)) this.#free.push(worker);
    return matches;
  }
}
