import type { MonotonicTime } from '../time/clock';
import { redisServerFrom } from '../config/redis-settings';
import { textFrom } from '../config/secret-source';
import type { Settings } from '../config/settings';
import { trustedAuthorities } from './infisical-connection';
import type { LogEvent } from '../logging/log';
import { LocalRateLimits } from '../limits/rate-limits';
import type { RateLimits } from '../limits/rate-limits';
import type { RedisInvalidationBus } from '../redis/redis.invalidation-bus';
import type { RedisObserver } from '../redis/redis-failure';
import type { RedisServer } from '../redis/client-options';
import type { RedisScopeLock } from '../redis/redis.scope-lock';
import { type Reloadable, fixed } from '../reloadable/reloadable';
import type { WatchedFiles } from '../reloadable/watched-files';

/** The adapters of what replicas share. */
export interface SharedRedis {
  readonly invalidationBus: RedisInvalidationBus;
  readonly scopeLock: RedisScopeLock;
  readonly rateLimits: RateLimits;
  /** Returns the problems that an operator should fix, one sentence each. */
  readonly problems: () => readonly string[];
  readonly close: () => Promise<void>;
}

export interface OpenRedisDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly files: WatchedFiles;
  /** The same on every replica; invalidations are encrypted with a key that is derived from it. */
  readonly key: Reloadable<Uint8Array>;
  readonly observer: RedisObserver | undefined;
}

const NOT_CONNECTED =
  'Redis is not connected: replicas see what others wrote within 1 s, two of them can create one name at once, and each has budgets of its own.';

/** Connects to Redis without waiting for it: the service starts and works without it. Returns undefined where it is off. */
export async function openRedis(
  { redis, credentialFiles, limits }: Settings,
  { time, log, files, key, observer }: OpenRedisDeps,
): Promise<SharedRedis | undefined> {
  if (redis === undefined) return undefined;
  const { RedisClient } = await import('../redis/redis-client.js');
  const { RedisInvalidationBus } = await import('../redis/redis.invalidation-bus.js');
  const { RedisScopeLock } = await import('../redis/redis.scope-lock.js');
  const { RedisRateLimits } = await import('../redis/redis.rate-limits.js');
  const { ScopeCipher } = await import('../redis/scope-cipher.js');
  const { keyPrefix, sentinels, authorityFiles } = redis;
  const authorities = authorityFiles && trustedAuthorities('REDIS_CA_FILE', authorityFiles, files);
  const options = {
    server: reloadedServer(redis.server, credentialFiles.REDIS_URL, files),
    keyPrefix,
    ...(sentinels !== undefined && { sentinels }),
    ...(authorities !== undefined && { authorities: () => authorities.renewed() }),
  };
  const client = new RedisClient(options, { time, log, ...(observer !== undefined && { observer }) });
  const invalidationBus = new RedisInvalidationBus(client, new ScopeCipher(key), time, log);
  const localRateLimits = new LocalRateLimits(limits.rates, time);
  return {
    invalidationBus,
    scopeLock: new RedisScopeLock(client),
    rateLimits: new RedisRateLimits(limits.rates, client, localRateLimits),
    problems: () => (client.isUp ? [] : [NOT_CONNECTED]),
    close: async () => {
      await invalidationBus.close();
      await client.close();
    },
  };
}

function reloadedServer(
  initial: RedisServer,
  file: string | undefined,
  files: WatchedFiles,
): Reloadable<RedisServer> {
  if (file === undefined) return fixed(initial);
  const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): RedisServer => {
    try {
      return redisServerFrom(textFrom(bytes));
    } catch (error: unknown) {
      throw new Error(`${file} ${(error as Error).message}`);
    }
  };
  return files.follow({ paths: [file], parse, kind: 'credential', name: 'REDIS_URL' }, initial);
}
