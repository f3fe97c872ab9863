import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import { RedisConnection, type RedisFailure, redisFailureOf, type RedisOptions } from './redis-connection';

/** How a lock was obtained: `held`; `alone`: without Redis; `late`: another replica held it too long; `lost` while it was held. */
export type LockOutcome = 'held' | 'alone' | 'late' | 'lost';

export interface RedisObserver {
  /** Called with whether both connections work, at each change. */
  connected(isUp: boolean): void;
  locked(outcome: LockOutcome): void;
}

export interface ChannelListener {
  received(message: string): void;
  /** Called when messages are received from now on; earlier ones may have been missed. */
  opened(): void;
}

const SUBSCRIBE_AGAIN_AFTER_MS = 1_000;

interface RedisClientDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly observer?: RedisObserver | undefined;
}

/** Our two connections: one for commands and one for the subscription, on which Redis accepts no commands. */
export class RedisClient {
  readonly commands: RedisConnection;
  readonly #subscriber: RedisConnection;
  readonly #channel: string;
  #listener: ChannelListener | undefined;
  #isOpen = false;
  /** The state that was reported last. */
  #wasUp: boolean | undefined;

  constructor(
    readonly options: RedisOptions,
    readonly deps: RedisClientDeps,
  ) {
    this.#channel = `${options.keyPrefix}writes`;
    this.commands = new RedisConnection(options, deps.time, {
      ready: () => this.#report(),
      lost: (why) => this.#report(why),
    });
    this.#subscriber = new RedisConnection(options, deps.time, {
      ready: () => void this.#subscribe(),
      lost: (why) => {
        this.#isOpen = false;
        this.#report(why);
      },
    });
    this.#subscriber.onMessage((message) => this.#listener?.received(message));
    deps.observer?.connected(false);
  }

  /** Whether messages are received. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isUp(): boolean {
    return this.#isOpen && this.commands.isReady;
  }

  /** @throws RedisUnavailable where the message may not have been delivered */
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
