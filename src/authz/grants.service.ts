import { stringify } from 'yaml';
import type { Caller } from '../authn/caller';
import { GrantPending, NotGranted, NotInAccessToken, WorkspaceTaken } from '../errors/request-errors';
import type { DomainError } from '../errors/domain-error';
import {
  grantKey,
  type GrantStatements,
  type InstalledApp,
  PROVIDER,
  SECRET_OPERATIONS,
  type SecretOperation,
  workspacesIn,
} from './grant';
import type { GrantSource } from './grant-source';
import type { StaticGrants } from './static-grants';

const checked: unique symbol = Symbol('checked');

/**
 * A workspace on which an app holds a grant. Only this file can make it, since the symbol is private to it: `authorize()` for one
 * operation, `grantedWorkspaces()` for the Settings app.
 */
export interface GrantedWorkspace {
  readonly user: string;
  readonly workspace: string;
  readonly [checked]: true;
}

/** Whether a workspace that several apps of a user state is open to all of them, or only to the one installed first. */
export type WorkspaceSharing = 'allow' | 'deny';

/** The grants of an app on one workspace. */
export interface HeldWorkspace {
  readonly workspace: string;
  readonly operations: readonly SecretOperation[];
  /** Other apps of the user that hold grants on it. */
  readonly sharedWith: readonly string[];
  /** False if WORKSPACE_SHARING=deny leaves the workspace to an app that was installed earlier, or if all is pending. */
  readonly usable: boolean;
  /** The operations that the app states and nobody has approved yet, so that they are not granted; absent if there are none. */
  readonly pending?: readonly SecretOperation[];
}

/** What decides whether an app may do an operation; the first three allow it. */
export const DECIDED_BY = [
  /** The app states it. */
  'grant',
  /** The app states it, and it was approved. */
  'approval',
  /** The operator grants it by STATIC_GRANTS. */
  'static_grant',
  /** The app does not state it. */
  'no_grant',
  /** No manifest of the app is known for the user. */
  'no_manifest',
  /** The app states it, and nobody has approved it yet. */
  'pending_approval',
  /** WORKSPACE_SHARING is `deny`, and an app that was installed earlier holds the workspace, or a caller of the system's own does. */
  'other_app',
  /** The access token was not issued for it. */
  'access_token',
] as const;
type DecidedBy = (typeof DECIDED_BY)[number];

/** The decision about one call, before anything is asked of the store. */
type Decision =
  | { readonly by: 'grant' | 'static_grant'; readonly installed: InstalledApp }
  | {
      readonly by: Exclude<DecidedBy, 'grant' | 'static_grant' | 'approval'>;
      readonly installed: InstalledApp | undefined;
      /** What the call is answered with. */
      readonly refusal: DomainError;
    };

/** A place in a source of grants; `line` is 1-based, and absent where the source is not a text. */
interface StatedAt {
  readonly source: string;
  readonly line?: number;
}

/** Why an app may do an operation on a workspace, or may not. It says nothing about what is stored there. */
export interface Explanation {
  readonly app: string;
  readonly user: string;
  readonly operation: SecretOperation;
  readonly workspace: string;
  readonly allowed: boolean;
  readonly decidedBy: DecidedBy;
  /** Of a refusal the sentence that the call is answered with. */
  readonly message: string;
  /** Where the app states the operation, whether or not that allows it. */
  readonly statedAt: readonly StatedAt[];
  /** Where the app states nothing: what in its sources seems meant for us and grants nothing. */
  readonly hints?: readonly (StatedAt & { readonly reason: string })[];
  /** Where the manifest does not state it: what it would need, as a `permission` block. */
  readonly yaml?: string;
}

export class GrantsService {
  constructor(
    private readonly source: GrantSource,
    private readonly sharing: WorkspaceSharing = 'allow',
    /** Undefined where the system's own callers hold nothing. */
    private readonly statics?: StaticGrants,
  ) {}

  /**
   * Denies by default. The credential must cover the operation, and the app must hold the grant *now*:
   * a withdrawn grant is refused although a token that names it is still valid.
   * @throws NotGranted, WorkspaceTaken, NotInAccessToken (403), GrantsUnavailable (503)
   */
  authorize(caller: Caller, operation: SecretOperation, workspace: string): GrantedWorkspace {
    const decision = this.decide(caller, operation, workspace);
    if ('refusal' in decision) throw decision.refusal;
    return { user: decision.installed.user, workspace, [checked]: true };
  }

  /** Returns what decides a call and where that is stated; nothing is asked of the store. @throws GrantsUnavailable (503) */
  explainOperation(caller: Caller, operation: SecretOperation, workspace: string): Explanation {
    const decision = this.decide(caller, operation, workspace);
    return explanationOf(caller, operation, workspace, decision, this.source);
  }

  /** @throws GrantsUnavailable (503) */
  private decide({ app, user, operations }: Caller, operation: SecretOperation, workspace: string): Decision {
    const key = grantKey(operation, workspace);
    const staticApp = this.statics?.find(user, app);
    const installed = staticApp ?? this.source.requireIndex().find(user, app);
    if (!installed?.grants.has(key)) {
      if (installed?.pending?.has(key) === true)
        return { by: 'pending_approval', installed, refusal: new GrantPending(app, operation, workspace) };
      const isInstalled = installed !== undefined;
      const refusal = new NotGranted(app, operation, workspace, isInstalled);
      return { by: isInstalled ? 'no_grant' : 'no_manifest', installed, refusal };
    }
    if (staticApp === undefined && this.sharing !== 'allow' && !this.isOpenTo(installed, workspace))
      return { by: 'other_app', installed, refusal: new WorkspaceTaken(app, operation, workspace) };
    if (operations !== 'any' && !operations.has(key))
      return { by: 'access_token', installed, refusal: new NotInAccessToken(app, operation, workspace) };
    return { by: staticApp === undefined ? 'grant' : 'static_grant', installed };
  }

  /**
   * Returns what a user reaches in the Settings app: every workspace on which the app holds any grant for that user.
   * Undefined if the app is not installed for the user; [] if it holds no grant.
   * @throws GrantsUnavailable (503)
   */
  grantedWorkspaces(user: string, app: string): readonly GrantedWorkspace[] | undefined {
    return this.heldWorkspaces(user, app)
      ?.filter(({ usable }) => usable)
      .map(({ workspace }) => ({ user, workspace, [checked]: true }));
  }

  /** Returns the workspaces on which an app states anything, sorted by name; undefined if the app is not installed. @throws GrantsUnavailable (503) */
  heldWorkspaces(user: string, app: string): readonly HeldWorkspace[] | undefined {
    const installed = this.source.requireIndex().find(user, app);
    if (installed === undefined) return undefined;
    const { grants, pending = new Set<string>() } = installed;
    const stated = new Set([...workspacesIn(installed), ...workspacesIn({ grants: pending })]);
    return [...stated].sort().map((workspace) => {
      const operations = operationsIn(grants, workspace);
      const awaited = operationsIn(pending, workspace);
      return {
        workspace,
        operations,
        sharedWith: this.source.holdersOf(user, workspace).filter((other) => other !== app),
        usable: operations.length > 0 && this.isOpenTo(installed, workspace),
        ...(awaited.length > 0 && { pending: awaited }),
      };
    });
  }

  /** Returns whether WORKSPACE_SHARING lets this app use the workspace. Grants are not checked. */
  isOpenTo({ user, app }: InstalledApp, workspace: string): boolean {
    if (this.sharing === 'allow') return true;
    // The system's own callers were there before any app.
    return this.statics?.use(workspace) !== true && this.source.holdersOf(user, workspace)[0] === app;
  }
}

function operationsIn(grants: ReadonlySet<string>, workspace: string): readonly SecretOperation[] {
  return SECRET_OPERATIONS.filter((operation) => grants.has(grantKey(operation, workspace)));
}

const MAX_HINTS = 20;

/** Returns the explanation of a decision, from the sources of the app alone. */
function explanationOf(
  { app, user }: Pick<Caller, 'app' | 'user'>,
  operation: SecretOperation,
  workspace: string,
  decision: Decision,
  source: GrantSource,
): Explanation {
  const key = grantKey(operation, workspace);
  const asked = { app, user, operation, workspace };
  if (decision.by === 'static_grant')
    return {
      ...asked,
      allowed: true,
      decidedBy: 'static_grant',
      message: `The operator grants ${key} to ${app}.`,
      statedAt: [{ source: 'STATIC_GRANTS' }],
    };
  const claims = source.requireIndex().claimsOf({ user, app });
  const stating = claims.filter(
    ({ installed }) => installed.grants.has(key) || installed.pending?.has(key) === true,
  );
  const statedAt = stating.map((claim) => ({
    source: sourceOf(claim),
    ...lineOf(claim.statements.lines?.get(key)),
  }));
  if (!('refusal' in decision)) {
    const granting = stating.filter(({ installed }) => installed.grants.has(key));
    const isApproved = granting.every(({ statements }) => statements.approved?.has(key) === true);
    const message = isApproved
      ? `App ${app} states ${key}, and it was approved.`
      : `App ${app} states ${key}.`;
    return { ...asked, allowed: true, decidedBy: isApproved ? 'approval' : 'grant', message, statedAt };
  }
  const { by: decidedBy, refusal } = decision;
  const refused = { ...asked, allowed: false, decidedBy, message: refusal.message, statedAt };
  if (decidedBy !== 'no_grant' && decidedBy !== 'no_manifest') return refused;
  const warnings = claims.flatMap((claim) =>
    (claim.statements.warnings ?? []).map(({ line, reason }) => ({
      source: sourceOf(claim),
      ...lineOf(line),
      reason,
    })),
  );
  const problems = source.problemsOf(user, app).map((problem) => ({
    source: problem.source,
    ...lineOf(problem.line),
    reason: problem.reason,
  }));
  return {
    ...refused,
    hints: [...problems, ...warnings].slice(0, MAX_HINTS),
    yaml: stringify({ permission: { sysData: [{ ...PROVIDER, ops: [key] }] } }),
  };
}

function sourceOf({ source, statements }: { source: string; statements: GrantStatements }): string {
  return statements.file === undefined ? source : `${source}/${statements.file}`;
}

function lineOf(line: number | undefined): { readonly line?: number } {
  return line === undefined ? {} : { line };
}
