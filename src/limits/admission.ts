import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { OnModuleDestroy } from '@nestjs/common';
import { Overloaded, TooManyRequests } from '../errors/request-errors';
import type { MonotonicTime } from '../time/clock';
import type { LimitsObserver, SharedBound, RequestKind } from './rate-limits';

/** Gives back what was taken. Calling it again does nothing. */
export type Release = () => void;

/** Whom a share belongs to: an authenticated caller, or the address of a sender who is not known yet. */
export interface Subject {
  readonly key: string;
  /** The kind of an authenticated caller's request; undefined for a stranger. */
  readonly kind: RequestKind | undefined;
}

const KIBIBYTE = 1_024;
const MEBIBYTE = 1_024 * KIBIBYTE;

/** What a pod of 320 MiB can afford. */
export const MEMORY_BOUNDS = {
  /** For bodies of authenticated callers that are being received. */
  bodyBytes: 32 * MEBIBYTE,
  /** For bodies whose senders are known only by their contents, as on the access route. */
  strangersBodyBytes: 8 * MEBIBYTE,
  strangersBodyBytesPerAddress: 256 * KIBIBYTE,
  /** For large answers that their clients have not received yet. */
  answerBytes: 64 * MEBIBYTE,
  /** The same for what anybody may ask for, as the page of the API. */
  strangersAnswerBytes: 16 * MEBIBYTE,
  strangersAnswerBytesPerAddress: 8 * MEBIBYTE,
};

/** The largest share of the requests in flight that one caller may have, so that one whose calls hang leaves the rest to others. */
const MAX_SHARE = 1 / 4;

/**
 * A capacity that subjects share so that none of them can take all of it. A subject holds at most as much as is still
 * free: alone it gets half, and the next one half of the rest. (Network switches share their buffers like this: Choudhury and
 * Hahne, "Dynamic queue length thresholds", 1998.) Every holder must release in the end: nothing is taken away from it.
 */
export class SharedCapacity {
  #used = 0;
  readonly #held = new Map<string, number>();

  /** @param maxPerSubject what one subject holds at most, however much is free */
  constructor(
    private readonly bound: SharedBound,
    private readonly observer: LimitsObserver | undefined,
    private readonly max: number,
    private readonly maxPerSubject = max,
  ) {}

  get used(): number {
    return this.#used;
  }

  /** @throws Overloaded where too little is free, TooManyRequests where the subject holds as much as it may */
  take({ key, kind }: Subject, amount = 1): Release {
    const free = this.max - this.#used;
    const held = this.#held.get(key) ?? 0;
    const isFull = amount > free;
    if (isFull || held + amount > Math.min(free, this.maxPerSubject)) {
      if (!isFull && kind !== undefined) this.observer?.refused(this.bound, kind);
      else this.observer?.shed(this.bound);
      throw isFull ? new Overloaded() : new TooManyRequests(1);
    }
    this.#used += amount;
    this.#held.set(key, held + amount);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#used -= amount;
      const left = (this.#held.get(key) ?? 0) - amount;
      if (left > 0) this.#held.set(key, left);
      else this.#held.delete(key);
    };
  }
}

/** Admits requests while there is capacity for them, in all and for each subject. */
export class Admission implements OnModuleDestroy {
  /** The requests in flight: those whose body has been received. */
  readonly requests: SharedCapacity;
  /** Memory for answers until their clients have received them. */
  readonly answers: SharedCapacity;
  /** The same for answers of public routes. */
  readonly strangersAnswers: SharedCapacity;
  /** Memory for the bodies of authenticated callers, and of proven peers. */
  readonly bodies: SharedCapacity;
  /** Memory for the bodies of all others. */
  readonly strangersBodies: SharedCapacity;

  constructor(
    maxInFlight: number,
    /** Nothing is done for a request that comes while it is too late. */
    readonly loop: Pick<LoopDelay, 'isTooLate' | 'close'> | undefined,
    private readonly observer: LimitsObserver | undefined,
    bounds = MEMORY_BOUNDS,
  ) {
    const capacity = (bound: SharedBound, max: number, maxPerSubject?: number): SharedCapacity =>
      new SharedCapacity(bound, observer, max, maxPerSubject);
    this.requests = capacity('in_flight', maxInFlight, Math.max(1, maxInFlight * MAX_SHARE));
    this.answers = capacity('answers', bounds.answerBytes);
    const { strangersAnswerBytes, strangersAnswerBytesPerAddress } = bounds;
    this.strangersAnswers = capacity('answers', strangersAnswerBytes, strangersAnswerBytesPerAddress);
    this.bodies = capacity('bodies', bounds.bodyBytes);
    const { strangersBodyBytes, strangersBodyBytesPerAddress } = bounds;
    this.strangersBodies = capacity('bodies', strangersBodyBytes, strangersBodyBytesPerAddress);
    observer?.opened(() => ({
      inFlight: this.requests.used,
      bodyBytes: this.bodies.used + this.strangersBodies.used,
      answerBytes: this.answers.used + this.strangersAnswers.used,
    }));
  }

  /** Refuses a request since the event loop runs late. @throws Overloaded */
  refuseForLoop(): never {
    this.observer?.shed('event_loop');
    throw new Overloaded();
  }

  onModuleDestroy(): void {
    this.loop?.close();
  }
}

/** The sampling interval. A loop without delay measures this much too, so it is subtracted. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 1_000;

/** Measures how late the event loop runs, as the mean over the last second, so that a single long pause does not count as load. */
export class LoopDelay {
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  isTooLate = false;
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

  close(): void {
    this.#cancel();
    this.#delays.disable();
  }

  #measureLater(): void {
    this.#cancel = this.time.after(this.windowMs, () => {
      const { count, mean } = this.#delays;
      this.isTooLate = count > 0 && mean / 1e6 - RESOLUTION_MS > this.maxMs;
      this.#delays.reset();
      this.#measureLater();
    });
  }
}
