import { isIP } from 'node:net';
import type { RedisOptions as ClientOptions } from 'ioredis';
import type { Reloadable } from '../reloadable/reloadable';

/** The address of Redis, and our credentials there, including the password. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
  readonly tls: boolean;
}

/** The Sentinels, which name the primary's address; the server's own host and port are then unused. */
interface RedisSentinels {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly masterName: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

export interface RedisOptions {
  /** When it changes, the connections are made again. */
  readonly server: Reloadable<RedisServer>;
  readonly sentinels?: RedisSentinels | undefined;
  /** Returns all trusted authorities, at each connection; without it, Node's own are trusted. */
  readonly authorities?: (() => readonly string[]) | undefined;
  /** The prefix of keys and of the channel's name. */
  readonly keyPrefix: string;
}

/** A command that takes longer fails, and its caller goes on without Redis. */
export const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_AFTER_MS = { least: 50, most: 500 };

/**
 * Returns the options of ioredis. No command waits for a missing connection, and none is repeated on the next one: its
 * purpose is over by then.
 */
export function clientOptions({ server, sentinels, authorities }: RedisOptions): ClientOptions {
  const { host, port, username, password, database, tls } = server.current();
  const trust = trusted(authorities);
  return {
    // Set even where there are none: when the server changes, these replace the client's options.
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

/** Returns TLS options whose authorities are read at each connection, for which the client copies them. */
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

/** Returns the delay before the next attempt: short, and different for each replica. */
function reconnectAfterMs(times: number): number {
  const { least, most } = RECONNECT_AFTER_MS;
  return Math.min(most, least * 2 ** Math.min(times - 1, 5)) * (0.5 + Math.random() / 2);
}
