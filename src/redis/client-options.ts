import type { Reloadable } from '../reloadable/reloadable';
import { isIP } from 'node:net';
import type { RedisOptions as ClientOptions } from 'ioredis';

/** Where Redis is, and as whom we come; the password is in here. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
  readonly tls: boolean;
}

/** Who tells the primary's address, in place of the server's own host and port. */
interface RedisSentinels {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly masterName: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

export interface RedisOptions {
  /** A new value is used by new connections, which are then made. */
  readonly server: Reloadable<RedisServer>;
  readonly sentinels?: RedisSentinels;
  /** All that are trusted, asked for at each connection; Node's own where it is absent. */
  readonly authorities?: () => readonly string[];
  /** What the names of keys and of the channel begin with. */
  readonly keyPrefix: string;
}

/** A command that takes longer is given up: whoever waits goes on without Redis. */
export const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_AFTER_MS = { least: 50, most: 500 };

/**
 * Nothing waits for a connection that is not there, and nothing is sent again on the next one: what a command is for
 * is over by then.
 */
export function clientOptions({ server, sentinels, authorities }: RedisOptions): ClientOptions {
  const { host, port, username, password, database, tls } = server.current();
  const trust = trusted(authorities);
  return {
    // Told even where there is none: the client's options are replaced by these when they change.
    username: username ?? '',
    password: password ?? '',
    db: database,
    ...(sentinels === undefined
      ? { host, port, ...(tls && { tls: withName(trust, host) }) }
      : { ...sentinelOptions(sentinels, trust), ...(tls && { tls: trust, enableTLSForSentinelMode: true }) }),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    disconnectTimeout: 100,
    connectionName: 'olares-secret-provider',
    retryStrategy: (times) => reconnectAfterMs(times),
  };
}

function sentinelOptions(
  { hosts, masterName, username, password, tls }: NonNullable<RedisOptions['sentinels']>,
  trust: Trust,
): ClientOptions {
  return {
    sentinels: hosts.map((one) => ({ ...one })),
    name: masterName,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(tls && { sentinelTLS: trust }),
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    sentinelRetryStrategy: (times) => reconnectAfterMs(times),
  };
}

interface Trust {
  readonly rejectUnauthorized: true;
  readonly ca?: string[];
}

/** The client copies these for each connection, and so asks for the authorities each time. */
function trusted(authorities: RedisOptions['authorities']): Trust {
  if (authorities === undefined) return { rejectUnauthorized: true };
  return {
    rejectUnauthorized: true,
    get ca() {
      return [...authorities()];
    },
  };
}

function withName(trust: Trust, host: string): Trust {
  if (isIP(host) !== 0) return trust;
  return Object.defineProperties(
    { servername: host } as unknown as Trust,
    Object.getOwnPropertyDescriptors(trust),
  );
}

/** Soon, and not all replicas at once. */
function reconnectAfterMs(times: number): number {
  const { least, most } = RECONNECT_AFTER_MS;
  return Math.min(most, least * 2 ** Math.min(times - 1, 5)) * (0.5 + Math.random() / 2);
}
