import { stringify } from 'yaml';
import type { Caller } from '../authn/caller';
import type { DomainError } from '../errors/domain-error';
import { grantKey, type GrantStatements, type InstalledApp, PROVIDER, type SecretOperation } from './grant';
import type { GrantSource } from './grant-source';

/**
 * What decides whether an app may do an operation: `grant`, `approval` and `static_grant` allow it. It is refused by `no_grant`,
 * where the manifest does not state it; by `no_manifest`, where none is known; by `pending_approval`; by `other_app`, which was
 * installed earlier and holds the workspace; and by `access_token`, which was not issued for it.
 */
export const DECIDED_BY = [
  'grant',
  'approval',
  'static_grant',
  'no_grant',
  'no_manifest',
  'pending_approval',
  'other_app',
  'access_token',
] as const;
type DecidedBy = (typeof DECIDED_BY)[number];

/** The decision about one call, before anything is asked of the store. */
export type Decision =
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

/** Something in a source of the app that grants nothing. */
interface GrantHint extends StatedAt {
  readonly reason: string;
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
  readonly hints?: readonly GrantHint[];
  /** Where the manifest does not state it: what it would need, as a `permission` block. */
  readonly yaml?: string;
}

const MAX_HINTS = 20;

/** Returns the explanation of a decision, from the sources of the app alone. */
export function explanationOf(
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
  const problems = source
    .problemsOf(user, app)
    .map((problem) => ({ source: problem.source, ...lineOf(problem.line), reason: problem.reason }));
  return {
    ...refused,
    hints: [...problems, ...warnings].slice(0, MAX_HINTS),
    yaml: permissionBlock(operation, workspace),
  };
}

/** Returns the `permission` block of a manifest that states one operation on one workspace. */
function permissionBlock(operation: SecretOperation, workspace: string): string {
  return stringify({ permission: { sysData: [{ ...PROVIDER, ops: [grantKey(operation, workspace)] }] } });
}

function sourceOf({ source, statements }: { source: string; statements: GrantStatements }): string {
  return statements.file === undefined ? source : `${source}/${statements.file}`;
}

function lineOf(line: number | undefined): { readonly line?: number } {
  return line === undefined ? {} : { line };
}
