import { Injectable } from '@nestjs/common';
import { Unauthenticated } from '../errors/identity-errors';
import { PeerProof } from '../identity/peer-proof';
import { isPassedOn, peerOf } from './credential-headers';
import type { ProviderRequest } from './provider-request';

/** Knows the cluster's own sender of system events. */
@Injectable()
export class EventSenders {
  constructor(private readonly peers: PeerProof) {}

  /** The sender writes its events itself; one that it passes on is somebody else's. @throws Unauthenticated, IdentityUnavailable */
  async require(request: ProviderRequest): Promise<void> {
    const isProven = !isPassedOn(request) && (await this.peers.provesEventSender(peerOf(request)));
    if (!isProven) throw new Unauthenticated('Authorization');
  }
}
