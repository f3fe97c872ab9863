import { createHash, randomUUID } from 'node:crypto';
import type { HeldScope, ScopeLock } from '../concurrency/keyed-work';
import type { LockOutcome, RedisClient } from './redis-client';

/** A replica that ended while it held a lock blocks the scope no longer than this. */
const LOCK_TTL_MS = 6_000;
const RENEW_EVERY_MS = 2_000;
/** The bounds of the delay between two attempts. */
const RETRY_AFTER_MS = { least: 5, most: 40 };
/** A waiting replica that makes no attempt for this time loses its precedence. */
const WAITING_TTL_MS = 250;

/**
 * Takes a free lock, unless another replica waits for it: else the replica with the longer queue would take it again and
 * again.
 */
const TAKE = `
  local next = redis.call('get', KEYS[2])
  if (not next or next == ARGV[3]) and redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    if next then redis.call('del', KEYS[2]) end
    return 1
  end
  if not next or next == ARGV[3] then redis.call('set', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
  return 0`;
/** Renew and release only a lock that is still ours. */
const RENEW = `
  if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
  return redis.call('pexpire', KEYS[1], ARGV[2])`;
const RELEASE = `
  if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
  return redis.call('del', KEYS[1])`;

/**
 * A lock for each scope that is being written, as a key in Redis. Without Redis writes go on: each replica then orders its
 * own writes, and Infisical decides between those of two replicas.
 */
export class RedisScopeLock implements ScopeLock {
  readonly #self = randomUUID();

  constructor(private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>) {}

  async hold(scope: string, maxWaitMs: number, signal: AbortSignal): Promise<HeldScope | undefined> {
    const { time } = this.redis.deps;
    const untilMs = time.nowMs() + maxWaitMs;
    const key = this.#keyOf(scope);
    const token = randomUUID();
    for (let waitMs = RETRY_AFTER_MS.least; ; waitMs = Math.min(waitMs * 2, RETRY_AFTER_MS.most)) {
      const isTaken = await this.#take(key, token);
      if (isTaken === undefined) return this.#record('alone', { release: () => undefined });
      if (isTaken) return this.#held(key, token);
      if (time.nowMs() >= untilMs) return this.#record('late', undefined);
      await time.pause(waitMs * (0.5 + Math.random() / 2), signal);
      signal.throwIfAborted();
    }
  }

  /** Returns whether the lock was taken; undefined where Redis does not answer. */
  async #take(key: string, token: string): Promise<boolean | undefined> {
    try {
      const answer = await this.redis.commands.run((client) =>
        client.eval(TAKE, 2, key, `${key}:next`, token, LOCK_TTL_MS, this.#self, WAITING_TTL_MS),
      );
      return answer === 1;
    } catch {
      // Redis may have set the lock although its answer was lost: then it is released.
      this.#release(key, token);
      return undefined;
    }
  }

  #held(key: string, token: string): HeldScope {
    let isHeld = true;
    const renewLater = (): (() => void) =>
      this.redis.deps.time.after(RENEW_EVERY_MS, () => {
        void this.#renew(key, token).then((isOurs) => {
          if (!isHeld) return;
          if (isOurs) cancel = renewLater();
          else this.#record('lost', undefined);
        });
      });
    let cancel = renewLater();
    const release = (): void => {
      isHeld = false;
      cancel();
      this.#release(key, token);
    };
    return this.#record('held', { release });
  }

  /** Returns false where another replica may hold the lock. Where Redis does not answer, the next renewal is awaited. */
  #renew(key: string, token: string): Promise<boolean> {
    const renewed = this.redis.commands.run((client) => client.eval(RENEW, 1, key, token, LOCK_TTL_MS));
    return renewed.then(
      (answer) => answer === 1,
      () => true,
    );
  }

  #release(key: string, token: string): void {
    // A lock that is not released expires.
    this.redis.commands.run((client) => client.eval(RELEASE, 1, key, token)).catch(() => undefined);
  }

  #record<T>(outcome: LockOutcome, result: T): T {
    const { log, observer } = this.redis.deps;
    observer?.locked(outcome);
    if (outcome === 'lost') log('warn', 'redis_lock_lost');
    return result;
  }

  /** Hashes the scope: Redis must not see the names of users and workspaces. */
  #keyOf(scope: string): string {
    return `${this.redis.options.keyPrefix}lock:${createHash('sha256').update(scope).digest('base64url')}`;
  }
}
