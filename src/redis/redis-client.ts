import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import { LiveConnection } from './live-connection';
import { redisFailureOf, type RedisFailure, type RedisObserver } from './redis-failure';
import type { RedisOptions } from './client-options';

export interface ChannelListener {
  received(message: string): void;
  /** Messages are heard from now on; what was said before may have been missed. */
  opened(): void;
}

/** Where replicas speak to each other. */
export abstract class Channel {
  /** Whether what is said is heard. */
  abstract readonly isOpen: boolean;
  /** @throws Error where nobody may have heard it */
  abstract publish(message: string): Promise<void>;
  abstract listen(listener: ChannelListener): void;
}

const ASK_AGAIN_AFTER_MS = 1_000;

interface RedisClientDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly observer?: RedisObserver;
}

/** Our two connections: one for commands, and one that listens, on which Redis takes no others. */
export class RedisClient extends Channel {
  readonly commands: LiveConnection;
  readonly #subscriber: LiveConnection;
  readonly #channel: string;
  #listener: ChannelListener | undefined;
  #isOpen = false;
  /** As it was told last. */
  #wasUp: boolean | undefined;

  constructor(
    readonly options: RedisOptions,
    readonly deps: RedisClientDeps,
  ) {
    super();
    this.#channel = `${options.keyPrefix}writes`;
    const lost = (why: RedisFailure): void => this.#tell(why);
    this.commands = new LiveConnection(options, deps.time, { ready: () => this.#tell(), lost });
    this.#subscriber = new LiveConnection(options, deps.time, {
      ready: () => void this.#open(),
      lost: (why) => {
        this.#isOpen = false;
        lost(why);
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

  async #open(): Promise<void> {
    if (this.#isOpen) return;
    try {
      await this.#subscriber.run((client) => client.subscribe(this.#channel));
      this.#isOpen = true;
      this.#listener?.opened();
      this.#tell();
    } catch (error: unknown) {
      // A connection that was lost meanwhile opens anew by itself; else we may not listen, until an operator mends it.
      if (!this.#subscriber.isReady) return;
      this.#tell(redisFailureOf(error));
      this.deps.time.after(ASK_AGAIN_AFTER_MS, () => void (this.#subscriber.isReady && this.#open()));
    }
  }

  /** One line for each change, and one at the start. */
  #tell(why: RedisFailure = 'connectionLost'): void {
    const { isUp } = this;
    if (isUp === this.#wasUp || (this.#wasUp === undefined && !isUp && why === 'connectionLost')) return;
    this.#wasUp = isUp;
    this.deps.observer?.connected(isUp);
    if (isUp) this.deps.log('info', 'redis_connected');
    else this.deps.log('warn', 'redis_lost', { reason: why });
  }
}
