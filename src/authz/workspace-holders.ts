import type { InstalledApp } from './grant';

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
  /** A counter that grows with each change of the shared workspaces, and with nothing else. */
  sharingChanges = 0;

  add(holder: Claim): void {
    const { user } = holder.installed;
    for (const workspace of workspacesOf(holder.installed)) {
      const others = this.at(user, workspace);
      const before = others.findLastIndex((other) => byInstallation(other, holder) < 0);
      this.set(user, workspace, others.toSpliced(before + 1, 0, holder));
    }
  }

  remove(holder: Claim): void {
    const { user } = holder.installed;
    for (const workspace of workspacesOf(holder.installed)) {
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

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return [...this.shared].map(([key, holders]) => {
      const [user, workspace] = JSON.parse(key) as [string, string];
      return { user, workspace, apps: appsOf(holders) };
    });
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
    this.sharingChanges += 1;
    if (isShared) this.shared.set(key, holders);
    else this.shared.delete(key);
  }
}

/** Returns the workspaces on which an app holds any grant. */
export function workspacesOf({ grants }: Pick<InstalledApp, 'grants'>): ReadonlySet<string> {
  return new Set([...grants].map((key) => key.slice(key.indexOf('=') + 1)));
}

function appsOf(holders: readonly Claim[]): readonly string[] {
  return [...new Set(holders.map(({ installed }) => installed.app))];
}

/** Orders by installation; for the same second or unknown times the source's name decides, so that every replica agrees. */
function byInstallation(a: Claim, b: Claim): number {
  return a.installedAtMs - b.installedAtMs || (a.source < b.source ? -1 : 1);
}
