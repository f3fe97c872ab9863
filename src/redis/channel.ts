export interface ChannelListener {
  heard(message: string): void;
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
