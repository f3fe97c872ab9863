import { LRUCache } from 'lru-cache';

/**
 * An app's or a user's name as we accept it from a file. It becomes a part of log lines, keys and addresses, so it has
 * no character that could end a word, a line or a path segment.
 */
export const APP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

export const APP_NAME_RULE =
  'must be 1-253 letters, digits, dots, dashes or underscores, and start with a letter or a digit';

/** A workspace's name: without `/`, so that it cannot leave a path segment, and never with a dot first. */
export const WORKSPACE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export const WORKSPACE_RULE =
  'must be 1-63 letters, digits, dots, dashes or underscores, and start with a letter or a digit';

export const SERVICE_ACCOUNT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** The five operations of the provider API. */
export const SECRET_OPERATIONS = [
  'RetrieveSecret',
  'CreateSecret',
  'UpdateSecret',
  'DeleteSecret',
  'ListSecret',
] as const;
export type SecretOperation = (typeof SECRET_OPERATIONS)[number];

/** The provider tuple that a `sysData` entry must state exactly to be ours. */
export const PROVIDER = { dataType: 'secret', group: 'secret.infisical', version: 'v1' } as const;

/** One operation on one workspace. */
export interface Grant {
  readonly operation: SecretOperation;
  readonly workspace: string;
}

/** Returns `<Op>?workspace=<name>`, the form in manifests, in tokens and in compiled sets. */
export function grantKey(operation: SecretOperation, workspace: string): string {
  return `${operation}?workspace=${workspace}`;
}

const compiledSets = new LRUCache<string, ReadonlySet<string>>({
  maxSize: 4 * 1024 * 1024,
  sizeCalculation: (_set, text) => 1 + text.length,
});

/**
 * Compiles the grants of an app. Apps that state the same grants share one set: an app of a catalogue states the same for
 * each of its users, so that a hundred thousand installations need few sets.
 */
export function grantSet(grants: readonly Grant[]): ReadonlySet<string> {
  return compiled(grants.map(({ operation, workspace }) => grantKey(operation, workspace)));
}

function compiled(keys: readonly string[]): ReadonlySet<string> {
  // No key contains a space.
  const text = keys.join(' ');
  const known = compiledSets.get(text);
  if (known !== undefined) return known;
  const set = new Set(keys);
  compiledSets.set(text, set);
  return set;
}

/** An app as it is installed for one user. (user, app) is unique, and so is appKey. */
export interface InstalledApp {
  readonly app: string;
  readonly user: string;
  /** `OS_APP_KEY` in the app's environment; absent for an app that has none and proves itself by its ServiceAccount alone. */
  readonly appKey?: string;
  /** `OS_APP_SECRET`; needed to verify token requests, never written anywhere. */
  readonly appSecret?: string;
  /** grantKey() of every grant, so that a decision is one look-up. */
  readonly grants: ReadonlySet<string>;
  /** grantKey() of what the app states and nobody has approved yet; it grants nothing. */
  readonly pending?: ReadonlySet<string>;
  /** Where its pods run, and as which ServiceAccount; absent where the source does not say. */
  readonly namespace?: string;
  readonly serviceAccount?: string;
}

/** Where a source states the grants of an app, and what in it grants nothing; for explanations, and no decision depends on it. */
export interface GrantStatements {
  /** The file below the source that states them, where the source is a folder. */
  readonly file?: string;
  /** 1-based, by grantKey(); absent where the source is not a text. */
  readonly lines?: ReadonlyMap<string, number>;
  readonly warnings?: readonly { readonly line?: number; readonly reason: string }[];
  /** grantKey() of what counts because it was approved. */
  readonly approved?: ReadonlySet<string>;
}

/** Returns what two resources of different kinds grant an app; what one of them grants is not pending. */
export function unitedGrants(
  one: InstalledApp,
  other: InstalledApp,
): Pick<InstalledApp, 'grants' | 'pending'> {
  const grants = compiled([...new Set([...one.grants, ...other.grants])].sort());
  const stated = new Set([...(one.pending ?? []), ...(other.pending ?? [])]);
  const pending = [...stated].filter((key) => !grants.has(key)).sort();
  return { grants, ...(stated.size > 0 && { pending: compiled(pending) }) };
}

/** The grants that an app states for a user, the source they were read from, and since when the app is installed. */
export interface Claim {
  readonly source: string;
  readonly installed: Pick<InstalledApp, 'app' | 'user' | 'grants'>;
  readonly installedAtMs: number;
}

/** A workspace of one user on which several apps hold grants, in the order of their installation. */
export interface SharedWorkspace {
  readonly user: string;
  readonly workspace: string;
  readonly apps: readonly string[];
}

/**
 * Knows which apps hold a grant on which workspace. Apps that exist without being served count too, be it for a conflict, a
 * suspension or an unreadable resource: the second app of a workspace must not get it for itself through a fault of the first.
 */
export class WorkspaceHolders {
  private readonly byUser = new Map<string, Map<string, readonly Claim[]>>();
  private readonly shared = new Map<string, readonly Claim[]>();
  private listed: readonly SharedWorkspace[] | undefined;

  add(holder: Claim): void {
    const { user } = holder.installed;
    for (const workspace of workspacesIn(holder.installed)) {
      const others = this.at(user, workspace);
      const before = others.findLastIndex((other) => byInstallation(other, holder) < 0);
      this.set(user, workspace, others.toSpliced(before + 1, 0, holder));
    }
  }

  remove(holder: Claim): void {
    const { user } = holder.installed;
    for (const workspace of workspacesIn(holder.installed)) {
      this.set(
        user,
        workspace,
        this.at(user, workspace).filter((other) => other !== holder),
      );
    }
  }

  /** Returns the apps in the order of their installation. */
  appsOn(user: string, workspace: string): readonly string[] {
    return appsOf(this.at(user, workspace));
  }

  /** Returns the same list until one of the shared workspaces changes. */
  sharedWorkspaces(): readonly SharedWorkspace[] {
    this.listed ??= [...this.shared].map(([key, holders]) => {
      const [user, workspace] = JSON.parse(key) as [string, string];
      return { user, workspace, apps: appsOf(holders) };
    });
    return this.listed;
  }

  private at(user: string, workspace: string): readonly Claim[] {
    return this.byUser.get(user)?.get(workspace) ?? [];
  }

  private set(user: string, workspace: string, holders: readonly Claim[]): void {
    const ofUser = this.byUser.get(user) ?? new Map<string, readonly Claim[]>();
    this.byUser.set(user, ofUser);
    if (holders.length > 0) ofUser.set(workspace, holders);
    else ofUser.delete(workspace);
    if (ofUser.size === 0) this.byUser.delete(user);
    const key = JSON.stringify([user, workspace]);
    const isShared = holders.some(({ installed }) => installed.app !== holders[0]?.installed.app);
    if (!isShared && !this.shared.has(key)) return;
    this.listed = undefined;
    if (isShared) this.shared.set(key, holders);
    else this.shared.delete(key);
  }
}

/** Returns the workspaces on which an app holds any grant. */
export function workspacesIn({ grants }: Pick<InstalledApp, 'grants'>): ReadonlySet<string> {
  return new Set([...grants].map((key) => key.slice(key.indexOf('=') + 1)));
}

function appsOf(holders: readonly Claim[]): readonly string[] {
  return [...new Set(holders.map(({ installed }) => installed.app))];
}

/** Orders by installation; for the same second or unknown times the source's name decides, so that every replica agrees. */
function byInstallation(a: Claim, b: Claim): number {
  return a.installedAtMs - b.installedAtMs || (a.source < b.source ? -1 : 1);
}
