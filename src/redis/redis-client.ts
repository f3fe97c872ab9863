import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import { redisFailureOf, type RedisFailure, type RedisObserver, RedisUnavailable } from './redis-failure';
import { type RedisOptions, clientOptions, COMMAND_TIMEOUT_MS } from './client-options';
import { Redis } from 'ioredis';

export interface ChannelListener {
  received(message: string): void;
  /** Called when messages are received from now on; earlier ones may have been missed. */
  opened(): void;
}

/** The channel between replicas. */
export abstract class Channel {
  /** Whether messages are received. */
  abstract readonly isOpen: boolean;
  /** @throws Error where the message may not have been delivered */
  abstract publish(message: string): Promise<void>;
  abstract listen(listener: ChannelListener): void;
}

const SUBSCRIBE_AGAIN_AFTER_MS = 1_000;

interface RedisClientDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly observer?: RedisObserver | undefined;
}

/** Our two connections: one for commands and one for the subscription, on which Redis accepts no commands. */
export class RedisClient extends Channel {
  readonly commands: LiveConnection;
  readonly #subscriber: LiveConnection;
  readonly #channel: string;
  #listener: ChannelListener | undefined;
  #isOpen = false;
  /** The state that was reported last. */
  #wasUp: boolean | undefined;

  constructor(
    readonly options: RedisOptions,
    readonly deps: RedisClientDeps,
  ) {
    super();
    this.#channel = `${options.keyPrefix}writes`;
    this.commands = new LiveConnection(options, deps.time, {
      ready: () => this.#report(),
      lost: (why) => this.#report(why),
    });
    this.#subscriber = new LiveConnection(options, deps.time, {
      ready: () => void this.#subscribe(),
      lost: (why) => {
        this.#isOpen = false;
        this.#report(why);
      },
    });
    this.#subscriber.onMessage((message) => this.#listener?.received(message));
    deps.observer?.connected(false);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isUp(): boolean {
    return this.#isOpen && this.commands.isReady;
  }

  async publish(message: string): Promise<void> {
    await this.commands.run((client) => client.publish(this.#channel, message));
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
    if (this.#isOpen) listener.opened();
  }

  async close(): Promise<void> {
    this.#wasUp = false;
    await Promise.all([this.commands.close(), this.#subscriber.close()]);
  }

  async #subscribe(): Promise<void> {
    if (this.#isOpen) return;
    try {
      await this.#subscriber.run((client) => client.subscribe(this.#channel));
      this.#isOpen = true;
      this.#listener?.opened();
      this.#report();
    } catch (error: unknown) {
      // A connection that was lost meanwhile is made again; else we may not subscribe, until an operator fixes that.
      if (!this.#subscriber.isReady) return;
      this.#report(redisFailureOf(error));
      const { time } = this.deps;
      time.after(SUBSCRIBE_AGAIN_AFTER_MS, () => void (this.#subscriber.isReady && this.#subscribe()));
    }
  }

  /** Logs each change of the state, and the state at the start. */
  #report(why: RedisFailure = 'connectionLost'): void {
    const { isUp } = this;
    if (isUp === this.#wasUp || (this.#wasUp === undefined && !isUp && why === 'connectionLost')) return;
    this.#wasUp = isUp;
    this.deps.observer?.connected(isUp);
    if (isUp) this.deps.log('info', 'redis_connected');
    else this.deps.log('warn', 'redis_lost', { reason: why });
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
class LiveConnection {
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
    this.#client.on('ready', () => this.#ready());
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
    await Promise.race([quitting, this.time.pause(COMMAND_TIMEOUT_MS, new AbortController().signal)]);
    this.#client.disconnect();
  }

  #ready(): void {
    this.#isReady = true;
    this.listener.ready();
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
    Object.assign(this.#client.options, clientOptions(this.options));
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
