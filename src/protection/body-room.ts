import { Overloaded } from '../errors/request-errors';
import type { ProtectionObserver } from './protection-observer';

export interface BodyBounds {
  readonly maxBytes: number;
  /** Of these, what one address may take: whoever sends slowly on purpose leaves room for the others. */
  readonly maxBytesOfPeer: number;
}

const MEBIBYTE = 1_048_576;

export const BODY_BOUNDS: BodyBounds = { maxBytes: 32 * MEBIBYTE, maxBytesOfPeer: 16 * MEBIBYTE };

/** Memory for the bodies of requests that are under way, which are read before it is known who sends them. */
export class BodyRoom {
  #bytes = 0;
  readonly #ofPeer = new Map<string, number>();

  constructor(
    private readonly observer: ProtectionObserver | undefined,
    private readonly bounds = BODY_BOUNDS,
  ) {}

  /** The answer is called once, when the request has left. @throws Overloaded */
  enter(peer: string, bytes: number): () => void {
    const ofPeer = this.#ofPeer.get(peer) ?? 0;
    const { maxBytes, maxBytesOfPeer } = this.bounds;
    if (this.#bytes + bytes > maxBytes || ofPeer + bytes > maxBytesOfPeer) {
      this.observer?.shed('bodies');
      throw new Overloaded();
    }
    this.#bytes += bytes;
    this.#ofPeer.set(peer, ofPeer + bytes);
    return () => {
      this.#bytes -= bytes;
      const left = (this.#ofPeer.get(peer) ?? bytes) - bytes;
      if (left === 0) this.#ofPeer.delete(peer);
      else this.#ofPeer.set(peer, left);
    };
  }
}
