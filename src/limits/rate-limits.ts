import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../time/clock';

/** The capacities that all requests share: the number in flight, the memory for bodies, the memory for answers. */
export type SharedBound = 'in_flight' | 'bodies' | 'answers';

/** Why an authenticated caller got 429: its rate limit is exceeded, or it already holds its share. */
export type RefusedFor = RateLimitExceeded['limitOf'] | SharedBound;

/** Why a request was refused regardless of its sender. */
export type ShedFor = SharedBound | 'event_loop' | 'queue' | 'connections' | 'pipelined' | 'pieces';

export interface LoadFigures {
  readonly inFlight: number;
  readonly bodyBytes: number;
  readonly answerBytes: number;
}

/** Observes the load and the requests that its bounds refuse. */
export interface LimitsObserver {
  opened(figures: () => LoadFigures): void;
  connectionsOpened(count: () => number): void;
  refused(why: RefusedFor, kind: RequestKind): void;
  shed(why: ShedFor): void;
}

export type RequestKind = 'read' | 'write';

/** Whose rate limits a request counts against: an app of a user, or a user who calls without an app. */
export interface RateLimitSubject {
  readonly app?: string;
  readonly user: string;
}

export interface RateLimitExceeded {
  /** Whose limit was exceeded. */
  readonly limitOf: 'app' | 'user';
  /** When one more request will be allowed, if no other takes its place. */
  readonly retryAfterMs: number;
}

/** Limits the requests of each kind that an app makes, and those that a user and all the user's apps make together. */
export abstract class RateLimits {
  /** Counts one request against the app's limit and the user's, or against neither. Returns undefined where it is allowed. */
  abstract take(
    kind: RequestKind,
    subject: RateLimitSubject,
  ): RateLimitExceeded | undefined | Promise<RateLimitExceeded | undefined>;

  /** Charges a large request as several; the balance may become negative. */
  abstract charge(kind: RequestKind, subject: RateLimitSubject, requests: number): void;
}

export interface RateLimit {
  readonly perSecond: number;
  /** How many requests may come at once after a pause. */
  readonly burst: number;
}

/** Returns the largest debt: a burst, or the tokens of ten seconds where those are more. */
export function maxDebt({ perSecond, burst }: RateLimit): number {
  return Math.max(burst, 10 * perSecond);
}

/** An absent limit does not limit. */
export interface RateLimitsByKind {
  readonly app: Readonly<Partial<Record<RequestKind, RateLimit>>>;
  readonly user: Readonly<Partial<Record<RequestKind, RateLimit>>>;
}

/** Returns whose account a request counts against; undefined if there is none. The length prefix makes the key unambiguous. */
export function accountOf(
  limitOf: RateLimitExceeded['limitOf'],
  { app, user }: RateLimitSubject,
): string | undefined {
  if (limitOf === 'user') return user;
  return app === undefined ? undefined : `${user.length}:${user}${app}`;
}

/** Rate limits of this process alone. */
export class LocalRateLimits extends RateLimits {
  readonly #limits: Readonly<Record<RequestKind, readonly TokenBuckets[]>>;

  constructor(rates: RateLimitsByKind, time: MonotonicTime) {
    super();
    const bucketsFor = (kind: RequestKind): readonly TokenBuckets[] =>
      (['app', 'user'] as const).flatMap((limitOf) => {
        const rate = rates[limitOf][kind];
        return rate === undefined ? [] : [new TokenBuckets(limitOf, rate, time)];
      });
    this.#limits = { read: bucketsFor('read'), write: bucketsFor('write') };
  }

  take(kind: RequestKind, subject: RateLimitSubject): RateLimitExceeded | undefined {
    const buckets: TokenBucket[] = [];
    for (const limit of this.#limits[kind]) {
      const bucket = limit.bucketOf(subject);
      if (bucket === undefined) continue;
      const missing = 1 - bucket.tokens;
      if (missing > 0) {
        const retryAfterMs = Math.max(1, Math.ceil((missing / limit.rate.perSecond) * 1000 - ROUNDING));
        return { limitOf: limit.limitOf, retryAfterMs };
      }
      buckets.push(bucket);
    }
    for (const bucket of buckets) bucket.tokens -= 1;
    return undefined;
  }

  charge(kind: RequestKind, subject: RateLimitSubject, requests: number): void {
    for (const limit of this.#limits[kind]) {
      const bucket = limit.bucketOf(subject);
      if (bucket !== undefined) bucket.tokens = Math.max(bucket.tokens - requests, -maxDebt(limit.rate));
    }
  }
}

/** Tokens that are added at a steady rate up to the burst. Less than none are a debt, which the rate pays off. */
export class TokenBucket {
  constructor(
    public tokens: number,
    private atMs: number,
  ) {}

  /** Adds the tokens of the time that has passed. */
  refill({ perSecond, burst }: RateLimit, nowMs: number): void {
    this.tokens = Math.min(burst, this.tokens + ((nowMs - this.atMs) / 1000) * perSecond);
    this.atMs = nowMs;
  }

  /** Takes a token; returns false where there is none. */
  take(): boolean {
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

/** Beyond it the least recently used bucket is dropped; unless there is a flood of new accounts it is full by then. */
const MAX_BUCKETS = 50_000;

/** Sums of fractions are slightly off, which must not add a millisecond. */
const ROUNDING = 1e-6;

/** A token bucket for each account, of which each request takes a token. */
export class TokenBuckets {
  readonly #buckets: LRUCache<string, TokenBucket>;

  constructor(
    readonly limitOf: RateLimitExceeded['limitOf'],
    readonly rate: RateLimit,
    private readonly time: MonotonicTime,
    maxBuckets = MAX_BUCKETS,
  ) {
    // As a size, since `max` would allocate the places of all accounts at the start.
    this.#buckets = new LRUCache({ maxSize: maxBuckets });
  }

  get count(): number {
    return this.#buckets.size;
  }

  /** Returns the bucket as it is now; undefined for a subject that has no account. */
  bucketOf(subject: RateLimitSubject): TokenBucket | undefined {
    const account = accountOf(this.limitOf, subject);
    if (account === undefined) return undefined;
    const nowMs = this.time.nowMs();
    const known = this.#buckets.get(account);
    const bucket = known ?? new TokenBucket(this.rate.burst, nowMs);
    if (known === undefined) this.#buckets.set(account, bucket, { size: 1 });
    else bucket.refill(this.rate, nowMs);
    return bucket;
  }
}
