import { createHash, randomUUID } from 'node:crypto';
import type { HeldScope, ScopeLock } from '../concurrency/keyed-mutex';
import type { LockOutcome } from './redis-failure';
import type { RedisClient } from './redis-client';

/** A replica that ended while it held a lock keeps others from the scope no longer than this. */
const LEASE_MS = 6_000;
const RENEW_EVERY_MS = 2_000;
/** Whoever waits looks again within these, and is forgotten once it has not looked for the last of them. */
const LOOK_AGAIN_MS = { least: 5, most: 40 };
const STILL_WANTED_MS = 250;

/**
 * A lock that is free is taken, unless another replica was there first and waits for it: else the replica with the
 * longer queue would take it again and again.
 */
const TAKE = `
  local next = redis.call('get', KEYS[2])
  if (not next or next == ARGV[3]) and redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    if next then redis.call('del', KEYS[2]) end
    return 1
  end
  if not next or next == ARGV[3] then redis.call('set', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
  return 0`;
/** Both only where it is ours still. */
const RENEW = `
  if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
  return redis.call('pexpire', KEYS[1], ARGV[2])`;
const RELEASE = `
  if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
  return redis.call('del', KEYS[1])`;

/**
 * A key in Redis for each scope that is being written. Without Redis writes go on: each replica then keeps its own in
 * turn, and what two of them do to one name at once, Infisical decides.
 */
export class RedisScopeLock implements ScopeLock {
  readonly #self = randomUUID();

  constructor(private readonly redis: Pick<RedisClient, 'commands' | 'options' | 'deps'>) {}

  async hold(scope: string, maxWaitMs: number): Promise<HeldScope | undefined> {
    const { time } = this.redis.deps;
    const untilMs = time.nowMs() + maxWaitMs;
    const key = this.#keyOf(scope);
    const token = randomUUID();
    for (let waitMs = LOOK_AGAIN_MS.least; ; waitMs = Math.min(waitMs * 2, LOOK_AGAIN_MS.most)) {
      const isTaken = await this.#take(key, token);
      if (isTaken === undefined) return this.#withoutRedis();
      if (isTaken) return this.#held(key, token);
      if (time.nowMs() >= untilMs) return this.#noted('late', undefined);
      await new Promise<void>((resolve) => time.after(waitMs * (0.5 + Math.random() / 2), resolve));
    }
  }

  /** Undefined where Redis does not say. */
  async #take(key: string, token: string): Promise<boolean | undefined> {
    try {
      const answer = await this.redis.commands.run((client) =>
        client.eval(TAKE, 2, key, `${key}:next`, token, LEASE_MS, this.#self, STILL_WANTED_MS),
      );
      return answer === 1;
    } catch {
      // Redis may have given it to us and the answer got lost: then it is let go as soon as Redis can be told.
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
          else this.#noted('lost', undefined);
        });
      });
    let cancel = renewLater();
    const release = (): void => {
      isHeld = false;
      cancel();
      this.#release(key, token);
    };
    return this.#noted('held', { release });
  }

  /** False once somebody else may have it. Where Redis does not answer it is asked again. */
  async #renew(key: string, token: string): Promise<boolean> {
    try {
      return (await this.redis.commands.run((client) => client.eval(RENEW, 1, key, token, LEASE_MS))) === 1;
    } catch {
      return true;
    }
  }

  #release(key: string, token: string): void {
    // Where it is not released it ends by itself.
    this.redis.commands.run((client) => client.eval(RELEASE, 1, key, token)).catch(() => undefined);
  }

  #withoutRedis(): HeldScope {
    return this.#noted('alone', { release: () => undefined });
  }

  #noted<T>(outcome: LockOutcome, result: T): T {
    const { log, observer } = this.redis.deps;
    observer?.locked(outcome);
    if (outcome === 'lost') log('warn', 'redis_lock_lost');
    return result;
  }

  /** The names of users and workspaces are not spelled out in Redis. */
  #keyOf(scope: string): string {
    return `${this.redis.options.keyPrefix}lock:${createHash('sha256').update(scope).digest('base64url')}`;
  }
}
