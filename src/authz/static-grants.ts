import type { Caller, ServiceAccountAuthenticator } from '../authn/caller';
import { type Peer, type PeerVerifier, type ServiceAccountName, USER } from '../authn/peer-verifier';
import { grantSet, type InstalledApp, type SecretOperation } from './grant';

/** What one of the system's own callers may do, as the operator states it. */
export interface StaticGrant {
  /** In the namespace, `<user>` stands for the user. */
  readonly account: ServiceAccountName;
  /** Whose secrets: those of the user of its namespace, or of the one whom X-BFL-USER names. */
  readonly userFrom: 'namespace' | 'X-BFL-USER';
  readonly userTokenRequired: boolean;
  /** True where no user token is needed beside the account's own token, which nobody else can send. */
  readonly ownTokenSuffices?: boolean;
  readonly workspaces: readonly string[];
  readonly operations: readonly SecretOperation[];
  readonly responseStyle?: 'documented' | 'sidecar';
}

/** One of the system's own callers, once it is proven. */
export interface StaticCaller {
  readonly caller: Caller;
  readonly userTokenRequired: boolean;
  readonly responseStyle: StaticGrant['responseStyle'];
}

/** What is known of a call before its credentials are verified. */
interface CallByAccount {
  readonly peer: Peer;
  /** X-BFL-USER, one plain name. */
  readonly user: string | undefined;
  /** Whether the peer forwards what somebody else wrote. */
  readonly isForwarded: boolean;
}

/** Finds out which of the system's own callers calls: those that STATIC_GRANTS names. */
export class StaticCallers {
  constructor(
    private readonly grants: readonly StaticGrant[],
    private readonly peers: PeerVerifier,
    /** Undefined where there is no cluster. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {}

  /**
   * Returns undefined where the peer is none of them. An account of a user's namespace is that user's, whomever a header names or its entry believes;
   * one of a shared namespace is believed about the user only where its entry says so and it speaks for itself.
   * @throws IdentityUnavailable (503), TooManyRequests (429)
   */
  async callerOf({ peer, user: named, isForwarded }: CallByAccount): Promise<StaticCaller | undefined> {
    if (this.grants.length === 0 || this.serviceAccounts === undefined) return undefined;
    const account = await this.peers.staticAccountOf(peer);
    if (account === undefined) return undefined;
    const owner = this.serviceAccounts.userOf(account.namespace);
    const grant = this.grants.find((one) => isSame(accountFor(one, owner), account));
    if (grant === undefined) return undefined;
    const believed = grant.userFrom === 'namespace' || isForwarded ? undefined : named;
    const user = owner ?? believed;
    if (user === undefined || this.serviceAccounts.userOf(`user-system-${user}`) !== user) return undefined;
    return {
      caller: { app: appNameOf(account), user, operations: 'any' },
      userTokenRequired:
        grant.userTokenRequired && !(grant.ownTokenSuffices === true && peer.bearer !== undefined),
      responseStyle: grant.responseStyle,
    };
  }
}

/** What the system's own callers hold; no app can have the name of such a caller, which has a colon. */
export class StaticGrants {
  private readonly workspaces: ReadonlySet<string>;

  constructor(
    private readonly grants: readonly StaticGrant[],
    /** Undefined where nobody asks for an account that belongs to another user. */
    private readonly serviceAccounts?: Pick<ServiceAccountAuthenticator, 'userOf'>,
  ) {
    this.workspaces = new Set(grants.flatMap(({ workspaces }) => workspaces));
  }

  /** Returns undefined for an app, and for an account that holds none or is another user's. @throws IdentityUnavailable (503) */
  find(user: string, app: string): InstalledApp | undefined {
    if (!app.includes(':')) return undefined;
    const grant = this.grants.find((one) => appNameOf(accountFor(one, user)) === app);
    const owner = grant && this.serviceAccounts?.userOf(grant.account.namespace);
    return grant && (owner ?? user) === user ? heldBy(grant, user) : undefined;
  }

  /** Returns what they hold for a user. */
  of(user: string): readonly InstalledApp[] {
    return this.grants.map((grant) => heldBy(grant, user));
  }

  /** Returns whether one of them uses the workspace. */
  use(workspace: string): boolean {
    return this.workspaces.has(workspace);
  }
}

function accountFor({ account }: StaticGrant, user: string | undefined): ServiceAccountName {
  return { ...account, namespace: account.namespace.replace(USER, () => user ?? USER) };
}

function heldBy(grant: StaticGrant, user: string): InstalledApp {
  const account = accountFor(grant, user);
  const { namespace, name: serviceAccount } = account;
  const { workspaces, operations } = grant;
  const grants = workspaces.flatMap((workspace) => operations.map((operation) => ({ operation, workspace })));
  return { app: appNameOf(account), user, grants: grantSet(grants), namespace, serviceAccount };
}

function isSame(one: ServiceAccountName, other: ServiceAccountName): boolean {
  return one.namespace === other.namespace && one.name === other.name;
}

function appNameOf({ namespace, name }: ServiceAccountName): string {
  return `${namespace}:${name}`;
}
