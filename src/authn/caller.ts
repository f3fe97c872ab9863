import { Unauthenticated, UserMismatch } from '../errors/request-errors';
import type { Peer, PeerVerifier, ServiceAccountName } from './peer-verifier';
import type { AccessTokens, UserTokenVerifier, VerifiedUser } from './tokens';

/** Who calls: an app on behalf of the user it is installed for, proven by a credential. */
export interface Caller {
  readonly app: string;
  readonly user: string;
  /** Those that the credential was issued for, `<Op>?workspace=<name>` as whole strings; 'any' where it has no list, so that the grants decide. */
  readonly operations: ReadonlySet<string> | 'any';
}

/** The credentials that a request carries, each exactly as sent; undefined where it carries none. */
interface CallerCredentials {
  readonly userToken: string | undefined;
  readonly accessToken: string | undefined;
  /** Whose bearer token is the ServiceAccount token of the calling pod; the address proves nothing here. */
  readonly peer: Peer;
}

/** Finds out who calls, from credentials alone: the app by X-Access-Token or by its pod's ServiceAccount token, its user by X-Authorization. */
export class CallerAuthenticator {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly userTokens: UserTokenVerifier,
    /** Where false, background jobs may omit the user token; one that is sent must still be good. */
    private readonly userTokenRequired: boolean,
    /** Undefined where there is no cluster, so that no pod can prove itself. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {}

  /**
   * Where the app has two credentials, both must be good and name the same app; the access token's operations then bind.
   * @throws Unauthenticated (401), UserMismatch (403), TooManyRequests (429), IdentityUnavailable (503)
   */
  async authenticate({ userToken, accessToken, peer }: CallerCredentials): Promise<Caller> {
    const needsUser = this.userTokenRequired || userToken !== undefined;
    const user = needsUser ? (await this.userTokens.verify(userToken)).user : undefined;
    const app = accessToken === undefined ? undefined : await this.accessTokens.verify(accessToken);
    const pod = peer.bearer === undefined ? undefined : await this.verifyPod(peer.bearer, peer.address);
    if (app !== undefined && pod !== undefined && (app.app !== pod.app || app.user !== pod.user))
      throw new Unauthenticated('Authorization');
    const caller = app ?? pod;
    if (caller === undefined) throw new Unauthenticated('X-Access-Token');
    if (user !== undefined && user !== caller.user) throw new UserMismatch();
    return caller;
  }

  /** Authenticates a user without an app; the token is never optional here. @throws as authenticate */
  async authenticateUser(userToken: string | undefined): Promise<VerifiedUser> {
    const { user, groups } = await this.userTokens.verify(userToken);
    return { user, groups };
  }

  private async verifyPod(token: string, peerAddress: string | undefined): Promise<Caller> {
    if (this.serviceAccounts === undefined) throw new Unauthenticated('Authorization');
    return this.serviceAccounts.authenticate(token, peerAddress);
  }
}

/** Asks the cluster whose ServiceAccount token this is. */
export abstract class ServiceAccountReviewer {
  /**
   * @param peerAddress address of the socket that the token came by; reviews are queued fairly by it
   * @returns undefined where the token is not good or was made for another audience
   * @throws IdentityUnavailable (503) when the cluster does not answer, TooManyRequests (429)
   */
  abstract review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined>;
}

/** Knows the owner of each namespace: its label `bytetrade.io/ns-owner`, which the platform sets. */
export abstract class NamespaceOwners {
  /** Returns undefined where the namespace does not exist or has no owner. @throws IdentityUnavailable (503) while unknown */
  abstract ownerOf(namespace: string): string | undefined;
}

/** Knows which users exist according to the cluster itself, not to an event. */
export abstract class UserPresence {
  /** Returns true as long as a namespace of the user is left. @throws IdentityUnavailable (503) while unknown */
  abstract isHere(user: string): boolean;
  /** Calls the listener when the last namespace of a user is gone. */
  abstract onGone(listener: (user: string) => void): void;
}

/** System pods of users run in these namespaces; they are no apps, whatever label the namespace has. */
const USER_SYSTEM_NAMESPACE = /^user-(system|space)-/;

/** Returns the app that has this namespace, by its owner alone; undefined where the namespace is no app's. */
export function appInNamespace(namespace: string, owner: string): string | undefined {
  const suffix = `-${owner}`;
  if (owner === '' || USER_SYSTEM_NAMESPACE.test(namespace) || !namespace.endsWith(suffix)) return undefined;
  return namespace.slice(0, -suffix.length) || undefined;
}

/**
 * Authenticates an app by the ServiceAccount token of its pod. The namespace is `<app>-<user>`, and only its owner tells
 * where the app's name ends: `mail-a-b` is app `mail` of user `a-b`, or app `mail-a` of user `b`.
 */
export class ServiceAccountAuthenticator {
  constructor(
    private readonly reviewer: ServiceAccountReviewer,
    private readonly owners: NamespaceOwners,
  ) {}

  /** @throws Unauthenticated (401), IdentityUnavailable (503), TooManyRequests (429) */
  async authenticate(token: string, peerAddress: string | undefined): Promise<Caller> {
    const account = await this.reviewer.review(token, peerAddress);
    const caller = account === undefined ? undefined : this.callerIn(account.namespace);
    if (caller === undefined) throw new Unauthenticated('Authorization');
    return caller;
  }

  /** Returns the user to whom a namespace belongs; undefined where it is nobody's. @throws IdentityUnavailable (503) */
  userOf(namespace: string): string | undefined {
    return this.owners.ownerOf(namespace);
  }

  /** Returns the app whose pods run in this namespace; undefined where there is none. @throws IdentityUnavailable (503) */
  callerIn(namespace: string): Caller | undefined {
    const user = this.owners.ownerOf(namespace);
    const app = appInNamespace(namespace, user ?? '');
    return user === undefined || app === undefined ? undefined : { app, user, operations: 'any' };
  }
}

/**
 * Whose X-Remote-User counts (`RBAC_PROXY`): nobody's; that of trusted ServiceAccounts; or also that of each user's
 * system-server, which is safe only where system-server sets the header itself. (Today's forwards what the app wrote.)
 */
export type RbacProxyMode = 'off' | 'service-accounts' | 'system-server';

/** What a proxy states about a call that it let through. */
interface RbacProxiedCall {
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
