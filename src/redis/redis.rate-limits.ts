import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import {
  mostOwed,
  type RateLimit,
  accountOf,
  RateLimits,
  type RateLimitsByKind,
  type RateLimitExceeded,
  type RequestKind,
  type RateLimitSubject,
} from '../limits/rate-limits';
import { RedisUnavailable } from './redis-failure';
import type { RedisClient } from './redis-client';

/** So much of a second's tokens is fetched at once: what a replica has and does not use, others lack for no longer. */
const LEASE_SECONDS = 0.1;
/** A request waits no longer than this for Redis: then this process decides alone. */
const PATIENCE_MS = 100;
const MAX_ACCOUNTS = 50_000;

/**
 * A bucket that drips by Redis' own clock, so that those of the replicas do not matter. Answers how many tokens were
 * taken, and where there were none in how many milliseconds there will be one.
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

interface TokenBatch {
  tokens: number;
  /** Until when nobody need be asked: there are none. */
  spentUntilMs: number;
  asking?: Promise<void>;
}

/** Tokens of one kind that are fetched from Redis a few at a time, for each account. */
class PrefetchedTokens {
  readonly #leases = new LRUCache<string, TokenBatch>({ max: MAX_ACCOUNTS });
  readonly #atOnce: number;

  /** @param name of the kind, in the keys */
  constructor(
    private readonly name: string,
    private readonly rate: RateLimit,
    private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>,
  ) {
    this.#atOnce = Math.max(1, Math.min(rate.burst, Math.floor(rate.perSecond * LEASE_SECONDS)));
  }

  /** Whether there is one at hand. */
  has(account: string): boolean {
    return (this.#leases.get(account)?.tokens ?? 0) >= 1;
  }

  /** More tokens than there are leave a debt, which the next ones that are fetched pay. */
  take(account: string, tokens = 1): void {
    const lease = this.#leaseOf(account);
    lease.tokens = Math.max(lease.tokens - tokens, -mostOwed(this.rate));
  }

  /** Milliseconds until it is worth asking again; 0 where it is now. */
  waitMs(account: string): number {
    const untilMs = this.#leases.get(account)?.spentUntilMs ?? 0;
    return Math.max(0, Math.ceil(untilMs - this.redis.deps.time.nowMs()));
  }

  /** Fetches some, once for all who ask at the same time. @throws RedisUnavailable */
  async fetch(account: string): Promise<void> {
    const lease = this.#leaseOf(account);
    lease.asking ??= this.#ask(account, lease).finally(() => delete lease.asking);
    await lease.asking;
  }

  #leaseOf(account: string): TokenBatch {
    const lease = this.#leases.get(account) ?? { tokens: 0, spentUntilMs: 0 };
    this.#leases.set(account, lease);
    return lease;
  }

  async #ask(account: string, lease: TokenBatch): Promise<void> {
    const { commands, deps } = this.redis;
    const { perSecond, burst } = this.rate;
    let cancel: () => void = () => undefined;
    const late = new Promise<never>((_resolve, reject) => {
      cancel = deps.time.after(PATIENCE_MS, () => reject(new RedisUnavailable('timedOut')));
    });
    try {
      const asked = commands.run((client) =>
        client.eval(TAKE, 1, this.#keyOf(account), perSecond, burst, this.#atOnce),
      );
      const [taken, waitMs] = parseAnswer(await Promise.race([asked, late]));
      lease.tokens += taken;
      lease.spentUntilMs = deps.time.nowMs() + waitMs;
    } finally {
      cancel();
    }
  }

  /** The names of users and apps are not spelled out in Redis. */
  #keyOf(account: string): string {
    const digest = createHash('sha256').update(account).digest('base64url');
    return `${this.redis.options.keyPrefix}budget:${this.name}:${digest}`;
  }
}

function parseAnswer(answer: unknown): readonly [taken: number, waitMs: number] {
  const [taken, waitMs] = (Array.isArray(answer) ? answer : []) as readonly unknown[];
  if (typeof taken !== 'number' || typeof waitMs !== 'number') throw new RedisUnavailable('refused');
  return [taken, waitMs];
}

type Budget = RateLimitExceeded['budget'];

interface Drawn {
  readonly budget: Budget;
  readonly tokens: PrefetchedTokens;
  readonly account: string;
}

/** Budgets that all replicas share. Most requests are decided from tokens at hand; without Redis, each replica decides alone. */
export class RedisRateLimits extends RateLimits {
  readonly #tokens: readonly {
    readonly budget: Budget;
    readonly kind: RequestKind;
    readonly tokens: PrefetchedTokens;
  }[];

  constructor(
    rates: RateLimitsByKind,
    private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>,
    private readonly alone: RateLimits,
  ) {
    super();
    this.#tokens = (['app', 'user'] as const).flatMap((budget) =>
      (['read', 'write'] as const).flatMap((kind) => {
        const rate = rates[budget][kind];
        if (rate === undefined) return [];
        return [{ budget, kind, tokens: new PrefetchedTokens(`${budget}:${kind}`, rate, redis) }];
      }),
    );
  }

  take(
    kind: RequestKind,
    rateLimitSubject: RateLimitSubject,
  ): RateLimitExceeded | undefined | Promise<RateLimitExceeded | undefined> {
    if (!this.redis.commands.isReady) return this.alone.take(kind, rateLimitSubject);
    const drawn = this.#tokens.flatMap(({ budget, kind: ofKind, tokens }): readonly Drawn[] => {
      const account = accountOf(budget, rateLimitSubject);
      return ofKind !== kind || account === undefined ? [] : [{ budget, tokens, account }];
    });
    return takenFrom(drawn) ? undefined : this.#fetched(drawn, kind, rateLimitSubject);
  }

  /** Paid back with what is fetched next: so it counts for all replicas. */
  charge(kind: RequestKind, rateLimitSubject: RateLimitSubject, requests: number): void {
    if (!this.redis.commands.isReady) return this.alone.charge(kind, rateLimitSubject, requests);
    for (const { budget, kind: ofKind, tokens } of this.#tokens) {
      const account = accountOf(budget, rateLimitSubject);
      if (ofKind === kind && account !== undefined) tokens.take(account, requests);
    }
  }

  async #fetched(
    drawn: readonly Drawn[],
    kind: RequestKind,
    rateLimitSubject: RateLimitSubject,
  ): Promise<RateLimitExceeded | undefined> {
    try {
      // Others may take what was fetched; then some more is, until there is none.
      while (!takenFrom(drawn)) {
        for (const { budget, tokens, account } of drawn) {
          if (tokens.has(account)) continue;
          if (tokens.waitMs(account) === 0) await tokens.fetch(account);
          const retryAfterMs = tokens.waitMs(account);
          if (!tokens.has(account) && retryAfterMs > 0) return { budget, retryAfterMs };
        }
      }
      return undefined;
    } catch (error: unknown) {
      if (!(error instanceof RedisUnavailable)) throw error;
      return this.alone.take(kind, rateLimitSubject);
    }
  }
}

/** One of each, or none of any. */
function takenFrom(drawn: readonly Drawn[]): boolean {
  if (!drawn.every(({ tokens, account }) => tokens.has(account))) return false;
  for (const { tokens, account } of drawn) tokens.take(account);
  return true;
}
