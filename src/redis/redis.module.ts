import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { factory, Runtime, ServiceCredentials, trustedAuthorities } from '../bootstrap/runtime.module';
import { ScopeLock, NO_OTHER_REPLICA } from '../concurrency/keyed-work';
import { redisServerFrom } from '../config/redis-settings';
import { textFrom } from '../config/environment-reader';
import { ServiceProblems } from '../http/controllers/health.controller';
import { LocalRateLimits, RateLimits } from '../limits/rate-limits';
import { WatchedFiles } from '../reloadable/reloadable';
import { InvalidationBus, NoInvalidationBus } from '../stores/cached/invalidation-bus';
import { Telemetry } from '../telemetry/telemetry.module';
import { MonotonicTime } from '../time/clock';
import type { RedisServer } from './redis-connection';

/** What replicas share; without a Redis, the parts of a replica that runs alone. */
abstract class SharedParts {
  abstract readonly invalidationBus: InvalidationBus;
  abstract readonly scopeLock: ScopeLock;
  abstract readonly rateLimits: RateLimits;
  abstract close(): Promise<void>;
}

const NOT_CONNECTED =
  'Redis is not connected: replicas see what others wrote within 1 s, two of them can create one name at once, and each has budgets of its own.';

/** Connects to Redis without waiting for it: the service starts and works without it. */
async function openRedis(
  { settings: { redis, credentialFiles, limits }, log }: Runtime,
  time: MonotonicTime,
  files: WatchedFiles,
  { accessTokenKey }: ServiceCredentials,
  telemetry: Telemetry,
  problems: ServiceProblems,
): Promise<SharedParts> {
  const rateLimits = new LocalRateLimits(limits.rates, time);
  if (redis === undefined) {
    const invalidationBus = new NoInvalidationBus();
    return { invalidationBus, scopeLock: NO_OTHER_REPLICA, rateLimits, close: () => Promise.resolve() };
  }
  const { RedisClient } = await import('./redis-client.js');
  const { RedisInvalidationBus, ScopeCipher } = await import('./redis.invalidation-bus.js');
  const { RedisScopeLock } = await import('./redis.scope-lock.js');
  const { RedisRateLimits } = await import('./redis.rate-limits.js');
  const { keyPrefix, sentinels, authorityFiles } = redis;
  const authorities = authorityFiles && trustedAuthorities('REDIS_CA_FILE', authorityFiles, files);
  const { REDIS_URL: urlFile } = credentialFiles;
  const parse = (bytes: Uint8Array): RedisServer => {
    try {
      return redisServerFrom(textFrom(bytes));
    } catch (error: unknown) {
      throw new Error(`${urlFile} ${(error as Error).message}`);
    }
  };
  const options = {
    server: files.followFile('REDIS_URL', urlFile, parse, redis.server),
    keyPrefix,
    sentinels,
    authorities: authorities && (() => authorities.renewed()),
  };
  const client = new RedisClient(options, { time, log, observer: telemetry.redis });
  // The key is the same on every replica; invalidations are encrypted with one that is derived from it.
  const invalidationBus = new RedisInvalidationBus(client, new ScopeCipher(accessTokenKey), time, log);
  problems.add(() => (client.isUp ? [] : [NOT_CONNECTED]));
  return {
    invalidationBus,
    scopeLock: new RedisScopeLock(client),
    rateLimits: new RedisRateLimits(limits.rates, client, rateLimits),
    close: async () => {
      await invalidationBus.close();
      await client.close();
    },
  };
}

@Global()
@Module({
  providers: [
    factory(
      SharedParts,
      [Runtime, MonotonicTime, WatchedFiles, ServiceCredentials, Telemetry, ServiceProblems],
      openRedis,
    ),
    factory(InvalidationBus, [SharedParts], (parts) => parts.invalidationBus),
    factory(ScopeLock, [SharedParts], (parts) => parts.scopeLock),
    factory(RateLimits, [SharedParts], (parts) => parts.rateLimits),
  ],
  exports: [InvalidationBus, ScopeLock, RateLimits],
})
export class RedisModule implements OnApplicationShutdown {
  constructor(private readonly parts: SharedParts) {}

  async onApplicationShutdown(): Promise<void> {
    await this.parts.close();
  }
}
