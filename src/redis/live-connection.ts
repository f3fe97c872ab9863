import { Redis } from 'ioredis';
import type { MonotonicTime } from '../time/clock';
import { clientOptions, COMMAND_TIMEOUT_MS, type RedisOptions } from './client-options';
import { redisFailureOf, RedisUnavailable, type RedisFailure } from './redis-failure';

/** A connection whose other end disappeared silently is noticed after this and the time-out of a command. */
const PING_EVERY_MS = 500;

export interface ConnectionListener {
  /** Called when the connection can be used, also each time after it was lost. */
  ready(): void;
  /** Called when the connection was lost, and for each failed attempt. */
  lost(why: RedisFailure): void;
}

/** One connection that is always made again, and that reports whether it works. */
export class LiveConnection {
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
