import { UserMismatch } from '../errors/authn-errors';
import type { Caller } from './caller';
import type { Peer, PeerVerifier } from './peer-verifier';
import type { ServiceAccountAuthenticator } from './service-account.authenticator';

/**
 * `RBAC_PROXY`: nobody's headers count; those of trusted ServiceAccounts do; or also those of each user's system-server,
 * which is safe only where that sets X-Remote-User itself. (Today's passes on what the app wrote there.)
 */
export type RbacProxyMode = 'off' | 'service-accounts' | 'system-server';

/** What a proxy says of a call that it let through; each undefined where it is missing. */
export interface RbacProxiedCall {
  readonly peer: Peer;
  /** X-BFL-USER, one plain name. */
  readonly user: string | undefined;
  /** X-Remote-User, as kube-rbac-proxy sets it. */
  readonly remoteUser: string | undefined;
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9-]{1,63}):[a-z0-9.-]{1,253}$/;

/** Contract, section 5.2: the proxy has authenticated a pod, and says whose it is. Only a proven proxy is believed. */
export class RbacProxyAuthenticator {
  constructor(
    private readonly mode: RbacProxyMode,
    private readonly peers: PeerVerifier,
    /** Undefined where there is no cluster. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {}

  /**
   * Undefined where the headers mean nothing: another credential must then be there.
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

  /** A token that came along is the proxy's own, or else a credential of the app, which counts instead of any header. */
  private async isProxy(peer: Peer, user: string): Promise<boolean> {
    if (peer.bearer !== undefined) return this.peers.provesTrustedFor(peer, user, 'token');
    if (this.mode === 'system-server' && this.peers.provesSystemServer(peer.address, user)) return true;
    return this.peers.provesTrustedFor(peer, user);
  }
}
