import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../time/clock';
import {
  mostOwed,
  type RateLimit,
  accountOf,
  RateLimits,
  type RateLimitsByKind,
  type RateLimitExceeded,
  type RequestKind,
  type RateLimitSubject,
} from './rate-limits';

interface Bucket {
  tokens: number;
  atMs: number;
}

/** One that was left alone longest is forgotten first, and would be full by then but for a flood of new accounts. */
const MAX_BUCKETS = 50_000;

/** Sums of fractions are off by a little, which is not to cost a millisecond. */
const ROUNDING = 1e-6;

/** A bucket for each account: a request takes a token, and tokens drip in at a steady rate up to the burst. */
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

  /** Milliseconds until there is a token; 0 where there is one. */
  waitMs(account: string): number {
    const { tokens } = this.#filled(account);
    return tokens >= 1 ? 0 : Math.max(1, Math.ceil(((1 - tokens) / this.rate.perSecond) * 1000 - ROUNDING));
  }

  /** More tokens than there are leave a debt, which drips off. */
  take(account: string, tokens = 1): void {
    const bucket = this.#filled(account);
    bucket.tokens = Math.max(bucket.tokens - tokens, -mostOwed(this.rate));
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

interface LocalLimit {
  readonly budget: RateLimitExceeded['budget'];
  readonly buckets: Readonly<Partial<Record<RequestKind, TokenBuckets>>>;
}

/** Budgets of this process alone. */
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

  take(kind: RequestKind, rateLimitSubject: RateLimitSubject): RateLimitExceeded | undefined {
    const drawn: { readonly buckets: TokenBuckets; readonly account: string }[] = [];
    for (const { budget, buckets: ofKind } of this.#rateLimits) {
      const buckets = ofKind[kind];
      const account = accountOf(budget, rateLimitSubject);
      if (buckets === undefined || account === undefined) continue;
      const retryAfterMs = buckets.waitMs(account);
      if (retryAfterMs > 0) return { budget, retryAfterMs };
      drawn.push({ buckets, account });
    }
    for (const { buckets, account } of drawn) buckets.take(account);
    return undefined;
  }

  charge(kind: RequestKind, rateLimitSubject: RateLimitSubject, requests: number): void {
    for (const { budget, buckets } of this.#rateLimits) {
      const account = accountOf(budget, rateLimitSubject);
      if (account !== undefined) buckets[kind]?.take(account, requests);
    }
  }
}
