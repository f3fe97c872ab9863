import type { MonotonicTime } from '../time/clock';
import { redisServerFrom } from '../config/redis-settings';
import { textFrom } from '../config/secret-source';
import type { Settings } from '../config/settings';
import { trustedAuthorities } from './infisical-connection';
import type { LogEvent } from '../logging/log';
import { LocalRequestBudgets } from '../limits/local.rate-limits';
import type { RequestBudgets } from '../limits/rate-limits';
import type { RedisAnnouncements } from '../redis/redis.invalidation-bus';
import type { RedisObserver } from '../redis/redis-failure';
import type { RedisServer } from '../redis/client-options';
import type { RedisScopeLock } from '../redis/redis.scope-lock';
import { type Rotating, unchanging } from '../reloadable/reloadable';
import type { WatchedFiles } from '../reloadable/watched-files';

/** What replicas share. */
export interface SharedRedis {
  readonly announcements: RedisAnnouncements;
  readonly scopeLock: RedisScopeLock;
  readonly budgets: RequestBudgets;
  /** What an operator should mend, one sentence each. */
  readonly problems: () => readonly string[];
  readonly close: () => Promise<void>;
}

export interface RedisSurroundings {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly files: WatchedFiles;
  /** The same on every replica: seals what they say. */
  readonly key: Rotating<Uint8Array>;
  readonly observer: RedisObserver | undefined;
}

const NOT_CONNECTED =
  'Redis is not connected: replicas see what others wrote within 1 s, two of them can create one name at once, and each has budgets of its own.';

/** Nothing waits for Redis: the service starts, and goes on, without it. */
export async function openRedis(
  { redis, credentialFiles, protection }: Settings,
  { time, log, files, key, observer }: RedisSurroundings,
): Promise<SharedRedis | undefined> {
  if (redis === undefined) return undefined;
  const { RedisLink } = await import('../redis/redis-client.js');
  const { RedisAnnouncements } = await import('../redis/redis.invalidation-bus.js');
  const { RedisScopeLock } = await import('../redis/redis.scope-lock.js');
  const { RedisRequestBudgets } = await import('../redis/redis.rate-limits.js');
  const { SealedScopes } = await import('../redis/scope-cipher.js');
  const { keyPrefix, sentinels, authorityFiles } = redis;
  const authorities = authorityFiles && trustedAuthorities('REDIS_CA_FILE', authorityFiles, files);
  const options = {
    server: followedServer(redis.server, credentialFiles.REDIS_URL, files),
    keyPrefix,
    ...(sentinels !== undefined && { sentinels }),
    ...(authorities !== undefined && { authorities: () => authorities.renewed() }),
  };
  const link = new RedisLink(options, { time, log, ...(observer !== undefined && { observer }) });
  const announcements = new RedisAnnouncements(link, new SealedScopes(key), time, log);
  const alone = new LocalRequestBudgets(protection.rates, time);
  return {
    announcements,
    scopeLock: new RedisScopeLock(link),
    budgets: new RedisRequestBudgets(protection.rates, link, alone),
    problems: () => (link.isUp ? [] : [NOT_CONNECTED]),
    close: async () => {
      await announcements.close();
      await link.close();
    },
  };
}

function followedServer(
  initial: RedisServer,
  file: string | undefined,
  files: WatchedFiles,
): Rotating<RedisServer> {
  if (file === undefined) return unchanging(initial);
  const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): RedisServer => {
    try {
      return redisServerFrom(textFrom(bytes));
    } catch (error: unknown) {
      throw new Error(`${file} ${(error as Error).message}`);
    }
  };
  return files.follow({ paths: [file], parse, kind: 'credential', name: 'REDIS_URL' }, initial);
}
