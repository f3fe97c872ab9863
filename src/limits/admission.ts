import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MonotonicTime } from '../time/clock';
import type { OnModuleDestroy } from '@nestjs/common';
import { Overloaded, TooManyRequests } from '../errors/request-errors';
import type { LimitsObserver, SharedBound, RequestKind } from './rate-limits';
import { SharedCapacity, type Release } from '../concurrency/shared-capacity';

/** How often the loop is looked at. A loop in time shows this much too, so it is taken off. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 1_000;

/** How late the event loop runs: the mean over the last second, so that one long pause alone does not count as load. */
export class LoopDelay {
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #recentMs = 0;
  #callOff: () => void = () => undefined;

  /** @param maxMs later than this is too late */
  constructor(
    private readonly maxMs: number,
    private readonly time: MonotonicTime,
    private readonly windowMs = WINDOW_MS,
  ) {
    this.#delays.enable();
    this.#look();
  }

  get isTooLate(): boolean {
    return this.#recentMs > this.maxMs;
  }

  close(): void {
    this.#callOff();
    this.#delays.disable();
  }

  #look(): void {
    this.#callOff = this.time.after(this.windowMs, () => {
      const { count, mean } = this.#delays;
      this.#recentMs = count === 0 ? 0 : Math.max(0, mean / 1e6 - RESOLUTION_MS);
      this.#delays.reset();
      this.#look();
    });
  }
}

/** Who shares: an authenticated caller, or an address whose sender is not known yet. */
export interface Subject {
  readonly key: string;
  /** What an authenticated caller asks for; undefined for a stranger. */
  readonly kind: RequestKind | undefined;
}

interface MemoryBounds {
  /** Bodies of authenticated callers that are being received. */
  readonly bodyBytes: number;
  /** Bodies whose senders are known by their contents only, as on the access route. */
  readonly strangersBodyBytes: number;
  readonly strangersBodyBytesOfOne: number;
  /** Large answers that their clients have not taken yet. */
  readonly answerBytes: number;
}

const KIBIBYTE = 1_024;
const MEBIBYTE = 1_024 * KIBIBYTE;

/** What a pod of 320 MiB bears beside everything else. */
export const MEMORY_BOUNDS: MemoryBounds = {
  bodyBytes: 32 * MEBIBYTE,
  strangersBodyBytes: 8 * MEBIBYTE,
  strangersBodyBytesOfOne: 256 * KIBIBYTE,
  answerBytes: 64 * MEBIBYTE,
};

/** Of all requests that are worked on, one caller's are this much at most: one whose calls hang leaves the rest to others. */
const LARGEST_SHARE = 1 / 4;

/** Lets requests in as long as there is room for them, in all and for each subject. Whoever takes gives back. */
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
    this.#requests = new SharedCapacity(maxInFlight, Math.max(1, maxInFlight * LARGEST_SHARE));
    this.#bodies = new SharedCapacity(bounds.bodyBytes);
    this.#strangersBodies = new SharedCapacity(bounds.strangersBodyBytes, bounds.strangersBodyBytesOfOne);
    this.#answers = new SharedCapacity(bounds.answerBytes);
    observer?.opened(() => ({
      inFlight: this.#requests.used,
      bodyBytes: this.#bodies.used + this.#strangersBodies.used,
      answerBytes: this.#answers.used,
    }));
  }

  /** Before anything is done for a request. @throws Overloaded while the event loop runs late */
  requireLoopInTime(): void {
    if (this.loop?.isTooLate !== true) return;
    this.observer?.shed('event_loop');
    throw new Overloaded();
  }

  /** For a request whose body is there. @throws Overloaded, TooManyRequests */
  enter(subject: Subject): Release {
    return this.#take(this.#requests, subject, 1, 'in_flight');
  }

  /** For a body of at most so many bytes that is about to be read. @throws Overloaded, TooManyRequests */
  receive(subject: Subject, bytes: number): Release {
    const capacity = subject.kind === undefined ? this.#strangersBodies : this.#bodies;
    return this.#take(capacity, subject, bytes, 'bodies');
  }

  /** For so many bytes of an answer, until the client has taken them. @throws Overloaded, TooManyRequests */
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
