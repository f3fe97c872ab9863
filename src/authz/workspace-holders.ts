import type { InstalledApp } from './grant';

/** What an app states for a user, where it was read from, and since when it is there. */
export interface Claim {
  readonly source: string;
  readonly installed: Pick<InstalledApp, 'app' | 'user' | 'grants'>;
  readonly installedAtMs: number;
}

/** A workspace of one user on which several apps hold grants; the one that was installed first comes first. */
export interface SharedWorkspace {
  readonly user: string;
  readonly workspace: string;
  readonly apps: readonly string[];
}

/**
 * Who holds a grant on which workspace. Apps that are there and not served count too, be it for a conflict, a suspension or
 * a resource that cannot be read: the second app of a workspace must not get it to itself by a mishap of the first.
 */
export class WorkspaceHolders {
  private readonly byUser = new Map<string, Map<string, readonly Claim[]>>();
  private readonly shared = new Map<string, readonly Claim[]>();
  /** Grows with each change of what is shared, and of nothing else. */
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

  /** The one that was installed first comes first; [] where nobody holds a grant. */
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

/** All workspaces on which an app holds any grant. */
export function workspacesOf({ grants }: Pick<InstalledApp, 'grants'>): ReadonlySet<string> {
  return new Set([...grants].map((key) => key.slice(key.indexOf('=') + 1)));
}

function appsOf(holders: readonly Claim[]): readonly string[] {
  return [...new Set(holders.map(({ installed }) => installed.app))];
}

/** Where two came in the same second, or nobody knows when, the source's name decides, on every replica alike. */
function byInstallation(a: Claim, b: Claim): number {
  return a.installedAtMs - b.installedAtMs || (a.source < b.source ? -1 : 1);
}
