import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { OnModuleDestroy } from '@nestjs/common';
import { SharedCapacity, type Release } from '../concurrency/shared-capacity';
import { Overloaded, TooManyRequests } from '../errors/request-errors';
import type { MonotonicTime } from '../time/clock';
import type { LimitsObserver, SharedBound, RequestKind } from './rate-limits';

/** Whom a share belongs to: an authenticated caller, or the address of a sender who is not known yet. */
export interface Subject {
  readonly key: string;
  /** The kind of an authenticated caller's request; undefined for a stranger. */
  readonly kind: RequestKind | undefined;
}

interface MemoryBounds {
  /** For bodies of authenticated callers that are being received. */
  readonly bodyBytes: number;
  /** For bodies whose senders are known only by their contents, as on the access route. */
  readonly strangersBodyBytes: number;
  readonly strangersBodyBytesPerAddress: number;
  /** For large answers that their clients have not received yet. */
  readonly answerBytes: number;
}

const KIBIBYTE = 1_024;
const MEBIBYTE = 1_024 * KIBIBYTE;

/** What a pod of 320 MiB can afford. */
export const MEMORY_BOUNDS: MemoryBounds = {
  bodyBytes: 32 * MEBIBYTE,
  strangersBodyBytes: 8 * MEBIBYTE,
  strangersBodyBytesPerAddress: 256 * KIBIBYTE,
  answerBytes: 64 * MEBIBYTE,
};

/** The largest share of the requests in flight that one caller may have, so that one whose calls hang leaves the rest to others. */
const MAX_SHARE = 1 / 4;

/** Admits requests while there is capacity for them, in all and for each subject. The caller must call each returned release. */
export class Admission implements OnModuleDestroy {
  readonly #requests: SharedCapacity;
  readonly #bodies: SharedCapacity;
  readonly #strangersBodies: SharedCapacity;
  readonly #answers: SharedCapacity;

  constructor(
    maxInFlight: number,
    private readonly loop: Pick<LoopDelay, 'isTooLate' | 'close'> | undefined,
    private readonly observer: LimitsObserver | undefined,
    bounds = MEMORY_BOUNDS,
  ) {
    this.#requests = new SharedCapacity(maxInFlight, Math.max(1, maxInFlight * MAX_SHARE));
    this.#bodies = new SharedCapacity(bounds.bodyBytes);
    this.#strangersBodies = new SharedCapacity(
      bounds.strangersBodyBytes,
      bounds.strangersBodyBytesPerAddress,
    );
    this.#answers = new SharedCapacity(bounds.answerBytes);
    observer?.opened(() => ({
      inFlight: this.#requests.used,
      bodyBytes: this.#bodies.used + this.#strangersBodies.used,
      answerBytes: this.#answers.used,
    }));
  }

  /** To be called before anything is done for a request. @throws Overloaded while the event loop runs late */
  requireLoopInTime(): void {
    if (this.loop?.isTooLate !== true) return;
    this.observer?.shed('event_loop');
    throw new Overloaded();
  }

  /** Admits a request whose body has been received. @throws Overloaded, TooManyRequests */
  enter(subject: Subject): Release {
    return this.#take(this.#requests, subject, 1, 'in_flight');
  }

  /** Reserves memory for a body that is about to be read. @throws Overloaded, TooManyRequests */
  receive(subject: Subject, bytes: number): Release {
    const capacity = subject.kind === undefined ? this.#strangersBodies : this.#bodies;
    return this.#take(capacity, subject, bytes, 'bodies');
  }

  /** Reserves memory for an answer until the client has received it. @throws Overloaded, TooManyRequests */
  answer(subject: Subject, bytes: number): Release {
    return this.#take(this.#answers, subject, bytes, 'answers');
  }

  onModuleDestroy(): void {
    this.loop?.close();
  }

  #take(capacity: SharedCapacity, { key, kind }: Subject, amount: number, bound: SharedBound): Release {
    const taken = capacity.take(key, amount);
    if (typeof taken === 'function') return taken;
    if (taken === 'share' && kind !== undefined) this.observer?.refused(bound, kind);
    else this.observer?.shed(bound);
    throw taken === 'share' ? new TooManyRequests(1) : new Overloaded();
  }
}

/** The sampling interval. A loop without delay measures this much too, so it is subtracted. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 1_000;

/** Measures how late the event loop runs, as the mean over the last second, so that a single long pause does not count as load. */
export class LoopDelay {
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #recentMs = 0;
  #cancel: () => void = () => undefined;

  /** @param maxMs the delay above which the loop is too late */
  constructor(
    private readonly maxMs: number,
    private readonly time: MonotonicTime,
    private readonly windowMs = WINDOW_MS,
  ) {
    this.#delays.enable();
    this.#measureLater();
  }

  get isTooLate(): boolean {
    return this.#recentMs > this.maxMs;
  }

  close(): void {
    this.#cancel();
    this.#delays.disable();
  }

  #measureLater(): void {
    this.#cancel = this.time.after(this.windowMs, () => {
      const { count, mean } = this.#delays;
      this.#recentMs = count === 0 ? 0 : Math.max(0, mean / 1e6 - RESOLUTION_MS);
      this.#delays.reset();
      this.#measureLater();
    });
  }
}
