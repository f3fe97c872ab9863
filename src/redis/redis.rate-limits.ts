import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import {
  maxDebt,
  type RateLimit,
  accountOf,
  RateLimits,
  type RateLimitsByKind,
  type RateLimitExceeded,
  type RequestKind,
  type RateLimitSubject,
} from '../limits/rate-limits';
import type { RedisClient } from './redis-client';
import { RedisUnavailable } from './redis-connection';

/** The tokens of so much time are fetched at once: unused tokens of a replica are missing elsewhere for no longer. */
const PREFETCH_SECONDS = 0.1;
/** A request waits no longer than this for Redis: then this replica decides alone. */
const MAX_WAIT_MS = 100;
const MAX_ACCOUNTS = 50_000;

/**
 * A token bucket by the clock of Redis, so that those of the replicas do not matter. Returns how many tokens were taken,
 * and where there were none, in how many milliseconds there will be one.
 */
const TAKE = `
  local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  local time = redis.call('time')
  local now = time[1] * 1000 + time[2] / 1000
  local kept = redis.call('hmget', KEYS[1], 'tokens', 'at')
  local tokens, at = tonumber(kept[1] or burst), tonumber(kept[2] or now)
  tokens = math.min(burst, tokens + math.max(0, now - at) / 1000 * rate)
  local taken = math.min(wanted, math.floor(tokens + 0.000001))
  tokens = tokens - taken
  redis.call('hset', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
  redis.call('pexpire', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
  if taken > 0 then return { taken, 0 } end
  return { 0, math.max(1, math.ceil((1 - tokens) / rate * 1000)) }`;

type LimitOf = RateLimitExceeded['limitOf'];

interface TokenBatch {
  tokens: number;
  /** Until then Redis has no tokens and need not be asked. */
  emptyUntilMs: number;
  fetching?: Promise<void>;
}

/** Tokens of one kind, fetched from Redis a few at a time for each account. */
class PrefetchedTokens {
  readonly #batches = new LRUCache<string, TokenBatch>({ max: MAX_ACCOUNTS });
  readonly #batchSize: number;
  /** How long Redis collects tokens: those of more time would be lost. */
  readonly #fullAfterMs: number;

  constructor(
    readonly limitOf: LimitOf,
    readonly kind: RequestKind,
    private readonly rate: RateLimit,
    private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>,
  ) {
    this.#fullAfterMs = (rate.burst / rate.perSecond) * 1000;
    this.#batchSize = Math.max(1, Math.min(rate.burst, Math.floor(rate.perSecond * PREFETCH_SECONDS)));
  }

  has(account: string): boolean {
    return (this.#batches.get(account)?.tokens ?? 0) >= 1;
  }

  /** Takes tokens; more than there are leave a debt, which the next ones that are fetched pay. */
  take(account: string, tokens = 1): void {
    const batch = this.#batchOf(account);
    batch.tokens = Math.max(batch.tokens - tokens, -maxDebt(this.rate));
  }

  /** Returns the milliseconds until Redis may have tokens again; 0 where it may have some now. */
  waitMs(account: string): number {
    const untilMs = this.#batches.get(account)?.emptyUntilMs ?? 0;
    return Math.max(0, Math.ceil(untilMs - this.redis.deps.time.nowMs()));
  }

  /** Fetches tokens, once for all concurrent callers. @throws RedisUnavailable */
  async fetch(account: string): Promise<void> {
    const batch = this.#batchOf(account);
    batch.fetching ??= this.#fetchNow(account, batch).finally(() => delete batch.fetching);
    await batch.fetching;
  }

  #batchOf(account: string): TokenBatch {
    const batch = this.#batches.get(account) ?? { tokens: 0, emptyUntilMs: 0 };
    this.#batches.set(account, batch);
    return batch;
  }

  async #fetchNow(account: string, batch: TokenBatch): Promise<void> {
    const { commands, deps } = this.redis;
    const { perSecond, burst } = this.rate;
    const debt = Math.max(0, -batch.tokens);
    const wanted = this.#batchSize + Math.ceil(debt);
    const fetched = commands
      .run((client) => client.eval(TAKE, 1, this.#keyOf(account), perSecond, burst, wanted))
      .then(parseAnswer);
    // An answer that comes too late for this request pays the debt all the same: Redis has counted its tokens.
    const added = fetched.then(([taken, waitMs]) => {
      batch.tokens += taken;
      return waitMs;
    });
    const waitMs = await deps.time.within(MAX_WAIT_MS, added, () => {
      throw new RedisUnavailable('timedOut');
    });
    const debtMs = (debt / perSecond) * 1000;
    batch.emptyUntilMs =
      deps.time.nowMs() + (waitMs === 0 ? 0 : Math.min(waitMs + debtMs, this.#fullAfterMs));
  }

  /** Hashes the account: Redis must not see the names of users and apps. */
  #keyOf(account: string): string {
    const digest = createHash('sha256').update(account).digest('base64url');
    return `${this.redis.options.keyPrefix}budget:${this.limitOf}:${this.kind}:${digest}`;
  }
}

function parseAnswer(answer: unknown): readonly [taken: number, waitMs: number] {
  const [taken, waitMs] = (Array.isArray(answer) ? answer : []) as readonly unknown[];
  if (typeof taken !== 'number' || typeof waitMs !== 'number') throw new RedisUnavailable('refused');
  // With neither tokens nor a wait, Redis would be asked again at once, and for ever.
  if (!(taken >= 0 && waitMs >= (taken > 0 ? 0 : 1))) throw new RedisUnavailable('refused');
  return [taken, waitMs];
}

interface AppliedLimit {
  readonly tokens: PrefetchedTokens;
  readonly account: string;
}

/** Rate limits that all replicas share. Most requests are decided by prefetched tokens; without Redis, each replica decides alone. */
export class RedisRateLimits extends RateLimits {
  readonly #tokens: readonly PrefetchedTokens[];

  constructor(
    rates: RateLimitsByKind,
    private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>,
    private readonly alone: RateLimits,
  ) {
    super();
    this.#tokens = (['app', 'user'] as const).flatMap((limitOf) =>
      (['read', 'write'] as const).flatMap((kind) => {
        const rate = rates[limitOf][kind];
        return rate === undefined ? [] : [new PrefetchedTokens(limitOf, kind, rate, redis)];
      }),
    );
  }

  take(
    kind: RequestKind,
    rateLimitSubject: RateLimitSubject,
  ): RateLimitExceeded | undefined | Promise<RateLimitExceeded | undefined> {
    if (!this.redis.commands.isReady) return this.alone.take(kind, rateLimitSubject);
    const limits = this.#limitsOf(kind, rateLimitSubject);
    return takeOfEach(limits) ? undefined : this.#fetchAndTake(limits, kind, rateLimitSubject);
  }

  /** Charges this replica's tokens; their debt is paid with the next ones from Redis, and so counts for all replicas. */
  charge(kind: RequestKind, rateLimitSubject: RateLimitSubject, requests: number): void {
    if (!this.redis.commands.isReady) return this.alone.charge(kind, rateLimitSubject, requests);
    for (const { tokens, account } of this.#limitsOf(kind, rateLimitSubject)) tokens.take(account, requests);
  }

  #limitsOf(kind: RequestKind, rateLimitSubject: RateLimitSubject): readonly AppliedLimit[] {
    return this.#tokens.flatMap((tokens) => {
      const account = accountOf(tokens.limitOf, rateLimitSubject);
      return tokens.kind !== kind || account === undefined ? [] : [{ tokens, account }];
    });
  }

  async #fetchAndTake(
    limits: readonly AppliedLimit[],
    kind: RequestKind,
    rateLimitSubject: RateLimitSubject,
  ): Promise<RateLimitExceeded | undefined> {
    try {
      // Concurrent requests may take the fetched tokens; then more are fetched, until Redis has none.
      while (!takeOfEach(limits)) {
        for (const { tokens, account } of limits) {
          if (tokens.has(account)) continue;
          if (tokens.waitMs(account) === 0) await tokens.fetch(account);
          const retryAfterMs = tokens.waitMs(account);
          if (!tokens.has(account) && retryAfterMs > 0) return { limitOf: tokens.limitOf, retryAfterMs };
        }
      }
      return undefined;
    } catch (error: unknown) {
      if (!(error instanceof RedisUnavailable)) throw error;
      return this.alone.take(kind, rateLimitSubject);
    }
  }
}

/** Takes one token of each limit, or none where one of them has none; returns whether it took them. */
function takeOfEach(limits: readonly AppliedLimit[]): boolean {
  if (!limits.every(({ tokens, account }) => tokens.has(account))) return false;
  for (const { tokens, account } of limits) tokens.take(account);
  return true;
}
