import { AppHasNoWorkspace, GrantNotStated } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import { APP_NAME, type Grant, grantKey, grantSet, type InstalledApp, type SecretOperation } from './grant';
import type { GrantSource } from './grant-source';

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
  /** Replaces what was approved for this user, app and workspace before. @throws GrantsUnavailable (503) */
  abstract approve(approval: GrantApproval): Promise<void>;
  /** Withdraws it; there may be none. @throws GrantsUnavailable (503) */
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
