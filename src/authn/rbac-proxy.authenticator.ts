import { UserMismatch } from '../errors/authn-errors';
import type { Caller } from './caller';
import type { Peer, PeerVerifier } from './peer-verifier';
import type { ServiceAccountAuthenticator } from './service-account.authenticator';

/**
 * Whose X-Remote-User counts (`RBAC_PROXY`): nobody's; that of trusted ServiceAccounts; or also that of each user's
 * system-server, which is safe only where system-server sets the header itself. (Today's forwards what the app wrote.)
 */
export type RbacProxyMode = 'off' | 'service-accounts' | 'system-server';

/** What a proxy states about a call that it let through. */
export interface RbacProxiedCall {
  readonly peer: Peer;
  /** X-BFL-USER, one plain name. */
  readonly user: string | undefined;
  /** X-Remote-User, as kube-rbac-proxy sets it. */
  readonly remoteUser: string | undefined;
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9-]{1,63}):[a-z0-9.-]{1,253}$/;

/** Contract, section 5.2: a proxy has authenticated a pod and names its ServiceAccount. Only a proven proxy is believed. */
export class RbacProxyAuthenticator {
  constructor(
    private readonly mode: RbacProxyMode,
    private readonly peers: PeerVerifier,
    /** Undefined where there is no cluster. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {}

  /**
   * Returns undefined where the headers prove nothing; the caller then needs another credential.
   * @throws UserMismatch (403) where the namespace is another user's, IdentityUnavailable (503), TooManyRequests (429)
   */
  async callerOf({ peer, user, remoteUser }: RbacProxiedCall): Promise<Caller | undefined> {
    const [, namespace] = SERVICE_ACCOUNT.exec(remoteUser ?? '') ?? [];
    if (this.mode === 'off' || user === undefined || namespace === undefined) return undefined;
    if (!(await this.isProxy(peer, user))) return undefined;
    const caller = this.serviceAccounts?.callerIn(namespace);
    if (caller !== undefined && caller.user !== user) throw new UserMismatch();
    return caller;
  }

  /** A bearer token must be the proxy's own; any other one is the app's credential and counts instead of the headers. */
  private async isProxy(peer: Peer, user: string): Promise<boolean> {
    if (peer.bearer !== undefined) return this.peers.provesTrustedFor(peer, user, 'token');
    if (this.mode === 'system-server' && this.peers.provesSystemServer(peer.address, user)) return true;
    return this.peers.provesTrustedFor(peer, user);
  }
}
