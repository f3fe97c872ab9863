import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../clock/monotonic-time';
import { mostOwed, type BudgetRate } from './request-budgets';

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
    private readonly rate: BudgetRate,
    private readonly time: MonotonicTime,
    maxBuckets = MAX_BUCKETS,
  ) {
    this.#buckets = new LRUCache({ max: maxBuckets });
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
