import { Injectable } from '@nestjs/common';
import { Unauthenticated, UserMismatch } from '../errors/identity-errors';
import type { Caller } from '../identity/caller';
import { type Peer, PeerProof } from '../identity/peer-proof';
import { GrantSource } from './grant-source';

/**
 * Contract, section 5.1: system-server checked the app's token and calls for it. The app is named by its key, the user
 * by a header; both count only from a proven system-server of that very user, and must agree with each other.
 */
@Injectable()
export class ProxiedCallerService {
  constructor(
    private readonly source: GrantSource,
    private readonly peers: PeerProof,
  ) {}

  /** Whether the peer is this user's system-server, or has a trusted ServiceAccount. @throws IdentityUnavailable (503), TooManyRequests (429) */
  async isProven(peer: Peer, user: string): Promise<boolean> {
    return this.peers.provesSystemServer(peer.address, user) || this.peers.provesTrustedFor(peer, user);
  }

  /** The app whose key a proven peer named. @throws Unauthenticated (401), UserMismatch (403), GrantsUnavailable (503) */
  identify(appKey: string, user: string): Caller {
    this.source.requireReady();
    const installed = this.source.findByKey(appKey);
    if (installed === undefined) throw new Unauthenticated('X-Access-Token');
    if (installed.user !== user) throw new UserMismatch();
    return { app: installed.app, user, operations: 'any' };
  }
}
