import { SystemMonotonicTime } from '../../src/time/clock';
import { RedisClient, type LockOutcome } from '../../src/redis/redis-client';
import type { RedisServer as ServerOptions, RedisOptions } from '../../src/redis/redis-connection';
import { fixed } from '../../src/reloadable/reloadable';
import { eventually } from '../support/eventually';

/** A Redis client with what it logged and reported. */
export interface OpenedRedis {
  readonly link: RedisClient;
  readonly logged: string[];
  readonly outcomes: LockOutcome[];
  readonly states: boolean[];
}

export function openRedis(server: Partial<ServerOptions>, more: Partial<RedisOptions> = {}): OpenedRedis {
  const logged: string[] = [];
  const outcomes: LockOutcome[] = [];
  const states: boolean[] = [];
  const at = { host: '127.0.0.1', port: 1, database: 0, tls: false, ...server };
  const link = new RedisClient(
    { server: fixed(at), keyPrefix: 'test:', ...more },
    {
      time: new SystemMonotonicTime(),
      log: (_level, event, fields) => void logged.push(`${event} ${JSON.stringify(fields ?? {})}`),
      observer: {
        connected: (isUp) => void states.push(isUp),
        locked: (outcome) => void outcomes.push(outcome),
      },
    },
  );
  return { link, logged, outcomes, states };
}

export async function up({ link }: OpenedRedis, isUp = true, withinMs = 5_000): Promise<void> {
  await eventually(() => expect(link.isUp).toBe(isUp), withinMs);
}
