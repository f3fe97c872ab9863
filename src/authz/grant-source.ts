import { isDeepStrictEqual } from 'node:util';
import { GrantsUnavailable, AppHasNoWorkspace, GrantNotStated } from '../errors/request-errors';
import {
  type InstalledApp,
  type SharedWorkspace,
  APP_NAME,
  type Grant,
  grantKey,
  grantSet,
  type SecretOperation,
} from './grant';
import { type AppListener, type GrantIndex, type GrantProblem, nameOf } from './grant-index';
import type { LogEvent } from '../logging/log';

export interface GrantSourceStatus {
  /** True after the first complete load, and while that is recent enough; no decision is made otherwise. */
  readonly ready: boolean;
  /** Why the source is not ready, as a clause that a caller may read; may be absent before the first load. */
  readonly unavailableBecause?: string;
  readonly installedApps: number;
  readonly problems: readonly GrantProblem[];
  /** The kinds of resources that grants are read from, such as `ApplicationPermissions`, where there may be several. */
  readonly feeds?: readonly string[];
  /** Which Olares was found, where the source finds that out. */
  readonly olares?: string;
  /** How many grants apps state outside of their own workspaces that nobody has approved; they grant nothing. */
  readonly pendingGrants?: number;
}

/**
 * Knows the installed apps and their grants. Every implementation passes describeGrantSource().
 * Look-ups are synchronous and take constant time. Each change happens in one synchronous step, so they see it whole.
 * What resources of different kinds state of one app is united. Two resources of one kind with the same (user, app), or two
 * apps with the same app key: none of them is served, and a problem says so.
 */
export abstract class GrantSource {
  protected abstract readonly index: GrantIndex;
  protected current: GrantSourceStatus = { ready: false, installedApps: 0, problems: [] };
  private readonly listeners = new Set<AppListener>();

  abstract close(): Promise<void>;

  status(): GrantSourceStatus {
    return this.current;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.index.find(user, app);
  }

  /** Returns all apps that are served. */
  installedApps(): Iterable<InstalledApp> {
    return this.index.served();
  }

  /**
   * Calls the listener for each app that is served otherwise than before, or no longer, in the same synchronous step as
   * the change. Returns what ends that.
   */
  onChange(listener: AppListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Returns the apps that state any grant on a user's workspace, served or not, in the order of their installation. */
  holdersOf(user: string, workspace: string): readonly string[] {
    return this.index.holders.appsOn(user, workspace);
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.index.holders.sharedWorkspaces();
  }

  /** Returns what is wrong with the sources of an app, as far as they can be told to be its own. */
  problemsOf(user: string, app: string): readonly GrantProblem[] {
    return this.index.problemsOf({ user, app });
  }

  /** Returns how long ago the source was last known to be complete; undefined for one that reads the files themselves. */
  ageMs(): number | undefined {
    return undefined;
  }

  /** Returns what a decision is made by. @throws GrantsUnavailable (503), with the reason */
  requireIndex(): GrantIndex {
    const { ready, unavailableBecause } = this.status();
    if (!ready) throw new GrantsUnavailable(unavailableBecause);
    return this.index;
  }

  /** To be called when an app is served otherwise than before. */
  protected changed(user: string, app: string): void {
    for (const listener of this.listeners) listener(user, app);
  }

  /** To be called after the whole index was replaced. */
  protected replaced(before: GrantIndex): void {
    const apps = new Map([...before.served(), ...this.index.served()].map((one) => [nameOf(one), one]));
    for (const { user, app } of apps.values()) {
      if (!isDeepStrictEqual(before.find(user, app), this.index.find(user, app))) this.changed(user, app);
    }
  }
}

/** Operations on one workspace that somebody allowed an app, which the app must go on stating. */
export interface GrantApproval {
  /** The user, or `*` for every user; only the operator may state the latter. */
  readonly user: string;
  readonly app: string;
  readonly workspace: string;
  readonly operations: readonly SecretOperation[];
}

/** Keeps the approvals of grants outside of an app's own workspaces. */
export abstract class GrantApprovals {
  /** Replaces what was approved for this user, app and workspace before. @throws GrantApprovalFailed (503) */
  abstract approve(approval: GrantApproval): Promise<void>;
  /** Withdraws it; there may be none. @throws GrantApprovalFailed (503) */
  abstract revoke(of: Omit<GrantApproval, 'operations'>): Promise<void>;
}

/** Approves for a user what an app states outside of its own workspaces, and takes that back. */
export class GrantApprovalService {
  constructor(
    private readonly source: GrantSource,
    private readonly approvals: GrantApprovals,
    private readonly log: LogEvent,
  ) {}

  /**
   * Approves exactly these operations on the workspace. Only what the app states now can be approved, so that nobody
   * approves what they have not seen. It is in force once the watch of the approvals shows it.
   * @throws AppHasNoWorkspace (403), GrantNotStated (400), GrantsUnavailable (503), GrantApprovalFailed (503)
   */
  async approve(approval: GrantApproval): Promise<void> {
    const { user, app, workspace, operations } = approval;
    const installed = this.source.requireIndex().find(user, app);
    if (installed === undefined) throw new AppHasNoWorkspace(app);
    const states = (key: string): boolean =>
      installed.grants.has(key) || installed.pending?.has(key) === true;
    if (!operations.every((operation) => states(grantKey(operation, workspace))))
      throw new GrantNotStated(app);
    await this.approvals.approve(approval);
    this.log('info', 'grant_approved', { user, app, workspace, operations });
  }

  /** Takes back what was approved for this user; what the operator approved for all users stays. @throws GrantApprovalFailed (503) */
  async revoke(of: Omit<GrantApproval, 'operations'>): Promise<void> {
    const { user, app, workspace } = of;
    if (!APP_NAME.test(app)) throw new AppHasNoWorkspace(app);
    await this.approvals.revoke(of);
    this.log('info', 'grant_revoked', { user, app, workspace });
  }
}

/** What may stand behind the app's name in the name of a workspace of its own. */
const SEPARATORS = '-._';

/** Olares' own components keep secrets in these workspaces, so no app has them by its name. */
export const SYSTEM_WORKSPACES: ReadonlySet<string> = new Set(['settings', 'dashboard']);

/**
 * Returns the app of a user whose own workspace this is: the one named exactly like it, else the one with the longest name
 * that the workspace begins with, followed by `-`, `.` or `_`. Undefined where it is no app's own.
 */
export function appOwning(workspace: string, apps: ReadonlySet<string>): string | undefined {
  for (let end = workspace.length; end > 0; end -= 1) {
    if (end < workspace.length && !SEPARATORS.includes(workspace.charAt(end))) continue;
    const app = workspace.slice(0, end);
    if (apps.has(app)) return SYSTEM_WORKSPACES.has(app) ? undefined : app;
  }
  return undefined;
}

export interface AppsOfUser {
  /** All apps of the user, whether or not they state anything. */
  readonly apps: ReadonlySet<string>;
  /** Workspaces that are no app's own, since others hold them without any manifest. */
  readonly reserved: ReadonlySet<string>;
}

interface DividedGrants extends Pick<InstalledApp, 'grants' | 'pending'> {
  /** grantKey() of what counts because it is approved. */
  readonly approved: ReadonlySet<string>;
}

/**
 * Divides what an app states for itself: it counts on the app's own workspaces and where it is approved, and is pending
 * elsewhere. An app may change what it states while it runs.
 * @param isApproved takes a grantKey()
 */
export function dividedGrants(
  stated: readonly Grant[],
  app: string,
  { apps, reserved }: AppsOfUser,
  isApproved: (key: string) => boolean,
): DividedGrants {
  const isOwn = ({ workspace }: Grant): boolean =>
    appOwning(workspace, apps) === app && !reserved.has(workspace);
  const isApprovedGrant = ({ operation, workspace }: Grant): boolean =>
    isApproved(grantKey(operation, workspace));
  const foreign = stated.filter((grant) => !isOwn(grant));
  const pending = foreign.filter((grant) => !isApprovedGrant(grant));
  return {
    grants: grantSet(stated.filter((grant) => isOwn(grant) || isApprovedGrant(grant))),
    ...(pending.length > 0 && { pending: grantSet(pending) }),
    approved: grantSet(foreign.filter(isApprovedGrant)),
  };
}
