import { Injectable } from '@nestjs/common';
import { Unauthenticated, UserMismatch } from '../errors/identity-errors';
import type { Caller } from '../identity/caller';
import { PeerProof } from '../identity/peer-proof';
import { GrantSource } from './grant-source';

/** What system-server says of a call, and what proves that it is system-server who says it. */
export interface ProxiedCall {
  readonly appKey: string;
  /** X-BFL-USER; undefined where it is missing or not one plain name. */
  readonly user: string | undefined;
  /** Of the socket. */
  readonly peerAddress: string;
  /** `Authorization: Bearer`, where one was sent. */
  readonly bearer: string | undefined;
}

const SYSTEM_NAMESPACE = 'user-system-';

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

  private async isProven({ peerAddress, bearer }: ProxiedCall, user: string): Promise<boolean> {
    if (this.peers.provesSystemServer(peerAddress, user)) return true;
    const account = bearer === undefined ? undefined : await this.peers.serviceAccountOf(bearer);
    if (account === undefined) return false;
    // One user's system-server does not speak for another user.
    return !account.namespace.startsWith(SYSTEM_NAMESPACE) || account.namespace === SYSTEM_NAMESPACE + user;
  }
}
