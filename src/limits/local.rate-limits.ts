import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../time/clock';
import {
  maxDebt,
  type RateLimit,
  accountOf,
  RateLimits,
  type RateLimitsByKind,
  type RateLimitExceeded,
  type RequestKind,
  type RateLimitSubject,
} from './rate-limits';

interface LocalLimit {
  readonly budget: RateLimitExceeded['budget'];
  readonly buckets: Readonly<Partial<Record<RequestKind, TokenBuckets>>>;
}

/** Rate limits of this process alone. */
export class LocalRateLimits extends RateLimits {
  readonly #rateLimits: readonly LocalLimit[];

  constructor(rates: RateLimitsByKind, time: MonotonicTime) {
    super();
    this.#rateLimits = (['app', 'user'] as const).map((budget) => {
      const { read, write } = rates[budget];
      return {
        budget,
        buckets: {
          ...(read !== undefined && { read: new TokenBuckets(read, time) }),
          ...(write !== undefined && { write: new TokenBuckets(write, time) }),
        },
      };
    });
  }

  take(kind: RequestKind, subject: RateLimitSubject): RateLimitExceeded | undefined {
    for (const { budget, buckets } of this.#rateLimits) {
      const account = accountOf(budget, subject);
      const retryAfterMs = account === undefined ? 0 : (buckets[kind]?.waitMs(account) ?? 0);
      if (retryAfterMs > 0) return { budget, retryAfterMs };
    }
    this.charge(kind, subject, 1);
    return undefined;
  }

  charge(kind: RequestKind, subject: RateLimitSubject, requests: number): void {
    for (const { budget, buckets } of this.#rateLimits) {
      const account = accountOf(budget, subject);
      if (account !== undefined) buckets[kind]?.take(account, requests);
    }
  }
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Beyond it the least recently used bucket is dropped; unless there is a flood of new accounts it is full by then. */
const MAX_BUCKETS = 50_000;

/** Sums of fractions are slightly off, which must not add a millisecond. */
const ROUNDING = 1e-6;

/** A token bucket for each account: a request takes a token, and tokens are added at a steady rate up to the burst. */
export class TokenBuckets {
  readonly #buckets: LRUCache<string, Bucket>;

  constructor(
    private readonly rate: RateLimit,
    private readonly time: MonotonicTime,
    maxBuckets = MAX_BUCKETS,
  ) {
    // As a size, since `max` would allocate the places of all accounts at the start.
    this.#buckets = new LRUCache({ maxSize: maxBuckets, sizeCalculation: () => 1 });
  }

  /** Returns the milliseconds until there is a token; 0 where there is one. */
  waitMs(account: string): number {
    const { tokens } = this.#filled(account);
    return tokens >= 1 ? 0 : Math.max(1, Math.ceil(((1 - tokens) / this.rate.perSecond) * 1000 - ROUNDING));
  }

  /** Takes tokens; more than there are leave a debt, which the rate pays off. */
  take(account: string, tokens = 1): void {
    const bucket = this.#filled(account);
    bucket.tokens = Math.max(bucket.tokens - tokens, -maxDebt(this.rate));
    this.#buckets.set(account, bucket);
  }

  get count(): number {
    return this.#buckets.size;
  }

  #filled(account: string): Bucket {
    const { perSecond, burst } = this.rate;
    const nowMs = this.time.nowMs();
    const bucket = this.#buckets.get(account);
    if (bucket === undefined) return { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    return bucket;
  }
}
