import { Injectable } from '@nestjs/common';
import { Unauthenticated, UserMismatch } from '../errors/identity-errors';
import type { Caller } from '../identity/caller';
import { type Peer, PeerProof } from '../identity/peer-proof';
import { GrantSource } from './grant-source';

/** What system-server says of a call, and what proves that it is system-server who says it. */
export interface ProxiedCall {
  readonly appKey: string;
  /** X-BFL-USER; undefined where it is missing or not one plain name. */
  readonly user: string | undefined;
  readonly peer: Peer;
}

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

  /** @throws Unauthenticated (401), UserMismatch (403), GrantsUnavailable, IdentityUnavailable (503) */
  async identify(call: ProxiedCall): Promise<Caller> {
    const { user } = call;
    if (user === undefined || !(await this.isProven(call, user))) throw new Unauthenticated('X-Access-Token');
    this.source.requireReady();
    const installed = this.source.findByKey(call.appKey);
    if (installed === undefined) throw new Unauthenticated('X-Access-Token');
    if (installed.user !== user) throw new UserMismatch();
    return { app: installed.app, user, operations: 'any' };
  }

  private async isProven({ peer }: ProxiedCall, user: string): Promise<boolean> {
    return this.peers.provesSystemServer(peer.address, user) || this.peers.provesTrustedFor(peer, user);
  }
}
