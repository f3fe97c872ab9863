import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Redis, type RedisOptions as ClientOptions } from 'ioredis';
import type { Reloadable } from '../reloadable/reloadable';
import type { MonotonicTime } from '../time/clock';

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
const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_AFTER_MS = { least: 50, most: 500 };

/**
 * Returns the options of ioredis. No command waits for a missing connection, and none is repeated on the next one: its
 * purpose is over by then.
 */
function clientOptions({ server, sentinels, authorities }: RedisOptions): ClientOptions {
  const { host, port, username, password, database, tls } = server.current();
  return {
    // Set even where there are none: when the server changes, these replace the client's options.
    username: username ?? '',
    password: password ?? '',
    db: database,
    ...(sentinels === undefined
      ? { host, port, ...(tls && { tls: trusted(authorities, host) }) }
      : {
          ...sentinelOptions(sentinels, trusted(authorities)),
          ...(tls && { tls: trusted(authorities), enableTLSForSentinelMode: true }),
        }),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    disconnectTimeout: 100,
    connectionName: 'olares-secret-provider',
    retryStrategy: reconnectAfterMs,
  };
}

function sentinelOptions(
  { hosts, masterName, username, password, tls }: RedisSentinels,
  trust: ConnectionOptions,
): ClientOptions {
  return {
    sentinels: hosts.map((one) => ({ ...one })),
    name: masterName,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(tls && { sentinelTLS: trust }),
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    sentinelRetryStrategy: reconnectAfterMs,
  };
}

/** Returns TLS options whose authorities are read at each connection, for which the client copies them. */
function trusted(authorities: RedisOptions['authorities'], host = ''): ConnectionOptions {
  return {
    rejectUnauthorized: true,
    ...(host !== '' && isIP(host) === 0 && { servername: host }),
    get ca() {
      return authorities && [...authorities()];
    },
  };
}

/** Returns the delay before the next attempt: short, and different for each replica. */
function reconnectAfterMs(times: number): number {
  const { least, most } = RECONNECT_AFTER_MS;
  return Math.min(most, least * 2 ** Math.min(times - 1, 5)) * (0.5 + Math.random() / 2);
}

/** The first pattern that matches decides. */
const FAILURES = [
  [/\b(WRONGPASS|NOAUTH)\b|invalid password|without any password/, 'credentialsRefused'],
  [/\bNOPERM\b/, 'permissionDenied'],
  [/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$|sentinels are unreachable/, 'unreachable'],
  [/^ETIMEDOUT$|timed out/, 'timedOut'],
  [/CERT|SIGNED|UNABLE_TO|ALTNAME/, 'certificateRefused'],
  [/^(ERR_TLS|ERR_SSL|EPROTO)/, 'tlsFailed'],
  [/^(ECONNRESET|EPIPE)$|^Connection is closed|writeable/, 'connectionLost'],
] as const satisfies readonly (readonly [RegExp, string])[];

/** A failure of the client or of Redis, without the error itself: those of ioredis contain commands with their arguments. */
export type RedisFailure = (typeof FAILURES)[number][1] | 'refused';

/** Classifies an error of the client or of Redis, by its code or else its message. */
export function redisFailureOf(error: unknown): RedisFailure {
  if (error instanceof RedisUnavailable) return error.why;
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  const texts = [code, message].filter((text) => typeof text === 'string');
  const known = texts.map((text) => FAILURES.find(([pattern]) => pattern.test(text))?.[1]);
  return known.find((failure) => failure !== undefined) ?? 'refused';
}

/** Thrown where Redis did not execute a command, or did not confirm it in time. It contains nothing of the foreign error. */
export class RedisUnavailable extends Error {
  constructor(readonly why: RedisFailure) {
    super(`Redis is not available (${why}).`);
    this.name = 'RedisUnavailable';
  }
}

/** A connection whose other end disappeared silently is noticed after this and the time-out of a command. */
const PING_EVERY_MS = 500;

interface ConnectionListener {
  /** Called when the connection can be used, also each time after it was lost. */
  ready(): void;
  /** Called when the connection was lost, and for each failed attempt. */
  lost(why: RedisFailure): void;
}

/** One connection that is always made again, and that reports whether it works. */
export class RedisConnection {
  readonly #client: Redis;
  #isReady = false;
  #isClosed = false;
  #why: RedisFailure = 'connectionLost';
  #cancelPing: () => void = () => undefined;

  constructor(
    private readonly options: RedisOptions,
    private readonly time: MonotonicTime,
    private readonly listener: ConnectionListener,
  ) {
    this.#client = new Redis(clientOptions(options));
    this.#client.on('ready', () => {
      this.#isReady = true;
      this.listener.ready();
    });
    this.#client.on('close', () => this.#lost());
    // The client gives up where it is disconnected while it connects; we never do.
    this.#client.on('end', () => this.#connectAgain());
    this.#client.on('error', (error: unknown) => this.#failed(error));
    options.server.whenChanged(() => this.#reconnect());
    this.#pingLater();
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  onMessage(listener: (text: string) => void): void {
    this.#client.on('message', (_channel: string, text: string) => listener(text));
  }

  /** Runs a command. @throws RedisUnavailable, at once without a connection, else within a second */
  async run<T>(command: (client: Redis) => Promise<T>): Promise<T> {
    if (!this.#isReady) throw new RedisUnavailable(this.#why);
    try {
      return await command(this.#client);
    } catch (error: unknown) {
      throw new RedisUnavailable(redisFailureOf(error));
    }
  }

  /** Closes the connection after earlier commands were answered, if the server answers soon. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelPing();
    const quitting = this.#isReady ? this.#client.quit().catch(() => undefined) : undefined;
    this.#isReady = false;
    if (quitting !== undefined) await this.time.within(COMMAND_TIMEOUT_MS, quitting, () => undefined);
    this.#client.disconnect();
  }

  /** Where Sentinels do not know the primary no connection closes: the error is the only event. */
  #failed(error: unknown): void {
    this.#why = redisFailureOf(error);
    if (!this.#isReady && !this.#isClosed) this.listener.lost(this.#why);
  }

  #lost(): void {
    this.#isReady = false;
    this.listener.lost(this.#why);
    this.#why = 'connectionLost';
  }

  #connectAgain(): void {
    if (this.#isClosed) return;
    this.time.after(PING_EVERY_MS, () => {
      if (!this.#isClosed && this.#client.status === 'end') this.#client.connect().catch(() => undefined);
    });
  }

  /** Connects with the new credentials, or to the new address. */
  #reconnect(): void {
    const withoutTls = { tls: undefined, enableTLSForSentinelMode: false };
    Object.assign(this.#client.options, withoutTls, clientOptions(this.options));
    this.#client.disconnect(true);
  }

  #pingLater(): void {
    if (this.#isClosed) return;
    this.#cancelPing = this.time.after(PING_EVERY_MS, () => void this.#ping().then(() => this.#pingLater()));
  }

  async #ping(): Promise<void> {
    if (!this.#isReady) return;
    try {
      await this.#client.ping();
    } catch (error: unknown) {
      if (!this.#isReady) return;
      this.#why = redisFailureOf(error);
      this.#isReady = false;
      this.listener.lost(this.#why);
      this.#client.disconnect(true);
    }
  }
}
