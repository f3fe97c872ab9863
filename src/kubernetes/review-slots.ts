import { canonicalAddress } from './canonical-address';

const MAX_UNDER_WAY = 128;
const MAX_OF_ONE_PEER = 8;

/** Reviews under way, few of them for one address: a pod that floods with made-up tokens floods only itself. */
export class ReviewSlots {
  private readonly taken = new Map<string, number>();
  private all = 0;

  /** @param peerAddress of the socket; those without one share a part. @returns how to give it back; undefined: none is free */
  take(peerAddress: string | undefined): (() => void) | undefined {
    const peer = canonicalAddress(peerAddress ?? '') ?? '';
    const ofPeer = this.taken.get(peer) ?? 0;
    if (ofPeer >= MAX_OF_ONE_PEER || this.all >= MAX_UNDER_WAY) return undefined;
    this.taken.set(peer, ofPeer + 1);
    this.all += 1;
    return () => this.giveBack(peer);
  }

  private giveBack(peer: string): void {
    const left = (this.taken.get(peer) ?? 1) - 1;
    if (left === 0) this.taken.delete(peer);
    else this.taken.set(peer, left);
    this.all -= 1;
  }
}
