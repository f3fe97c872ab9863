import type { ChannelListener, RedisClient } from '../../src/redis/redis-client';

/** What replicas are connected to; messages are heard at once. */
export class MemoryBus {
  readonly said: string[] = [];
  readonly #ends: MemoryChannel[] = [];

  end(): MemoryChannel {
    const end = new MemoryChannel(this);
    this.#ends.push(end);
    return end;
  }

  say(message: string): void {
    this.said.push(message);
    for (const end of this.#ends) end.hear(message);
  }
}

/** One replica's way to the bus, which a test cuts in one direction or in both. */
export class MemoryChannel implements Pick<RedisClient, 'isOpen' | 'publish' | 'listen'> {
  isOpen = true;
  canSpeak = true;
  /** Messages get lost on the way to it, and it does not know. */
  isDeaf = false;
  #listener: ChannelListener | undefined;

  constructor(private readonly bus: MemoryBus) {}

  async publish(message: string): Promise<void> {
    if (!this.canSpeak) throw new Error('cut');
    this.bus.say(message);
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
    listener.opened();
  }

  hear(message: string): void {
    if (this.isOpen && !this.isDeaf) this.#listener?.received(message);
  }

  cut(): void {
    this.isOpen = false;
    this.canSpeak = false;
  }

  mend(): void {
    this.isOpen = true;
    this.canSpeak = true;
    this.#listener?.opened();
  }
}
