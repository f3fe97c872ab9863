import { ownField } from '../json/json';
import {
  type Grant,
  SECRET_OPERATIONS,
  type SecretOperation,
  WORKSPACE_NAME,
  WORKSPACE_RULE,
  PROVIDER,
} from './grant';

/** An entry of `sysData` that seems meant for us and grants nothing. */
export interface SysDataWarning {
  /** The path below `sysData`, e.g. `[2, 'ops', 0]`. */
  readonly path: readonly (string | number)[];
  readonly reason: string;
}

export interface SysDataGrants {
  readonly grants: readonly Grant[];
  /** Of each grant, where it is stated. */
  readonly paths: readonly SysDataWarning['path'][];
  readonly warnings: readonly SysDataWarning[];
}

/** Real apps state five or ten. */
const MAX_OPS = 1_000;
/** At most so many entries that are nearly ours are reported. */
const MAX_INEXACT = 20;

/** Why a whole list is not accepted. */
export interface SysDataRefusal {
  readonly refused: string;
}

/**
 * Returns the grants that a `sysData` list states for an app, from a manifest or from an ApplicationPermission.
 * Entries of other providers are ignored whatever their shape; an inexact entry or op of ours grants nothing and is reported.
 */
export function parseSysData(sysData: unknown, app: string): SysDataGrants | SysDataRefusal {
  const grants: Grant[] = [];
  const paths: SysDataWarning['path'][] = [];
  const warnings: SysDataWarning[] = [];
  if (sysData === undefined || sysData === null) return { grants, paths, warnings };
  if (!Array.isArray(sysData))
    return { grants, paths, warnings: [{ path: [], reason: 'sysData must be a list' }] };
  let [stated, inexact] = [0, 0];
  for (const [index, entry] of (sysData as readonly unknown[]).entries()) {
    const wrong = wrongFieldsOf(entry);
    if (wrong === undefined) continue;
    if (wrong.length > 0) {
      if ((inexact += 1) <= MAX_INEXACT) warnings.push(inexactEntry(index, entry, wrong));
      continue;
    }
    const ops = ownField(entry, 'ops');
    stated += Array.isArray(ops) ? ops.length : 1;
    if (stated > MAX_OPS) return { refused: `more than ${MAX_OPS} ops` };
    if (!Array.isArray(ops)) {
      warnings.push({ path: [index, 'ops'], reason: 'ops must be a list' });
      continue;
    }
    for (const [position, op] of (ops as readonly unknown[]).entries()) {
      const parsed = parseOp(op, app);
      const path = [index, 'ops', position];
      if ('problem' in parsed) {
        warnings.push({ path, reason: parsed.problem });
        continue;
      }
      grants.push(parsed);
      paths.push(path);
    }
  }
  return { grants, paths, warnings };
}

type ProviderField = keyof typeof PROVIDER;
const PROVIDER_FIELDS = Object.keys(PROVIDER) as ProviderField[];

/** Returns the fields of our tuple that an entry states differently; undefined for an entry of another provider's group. */
function wrongFieldsOf(entry: unknown): readonly ProviderField[] | undefined {
  const group = ownField(entry, 'group');
  if (typeof group !== 'string' || trimmed(group).toLowerCase() !== PROVIDER.group) return undefined;
  return PROVIDER_FIELDS.filter((field) => ownField(entry, field) !== PROVIDER[field]);
}

/** Returns a text without the spaces around it, of which those that YAML does not know are U+FFFD where they come from a manifest. */
export function trimmed(text: string): string {
  return text.replaceAll('\ufffd', ' ').trim();
}

function inexactEntry(index: number, entry: unknown, wrong: readonly ProviderField[]): SysDataWarning {
  const [first = 'version'] = wrong;
  const needed = wrong.map((field) => `${field}: ${PROVIDER[field]}`).join(' and ');
  return {
    path: ownField(entry, first) === undefined ? [index] : [index, first],
    reason: `the entry of ${PROVIDER.group} grants nothing: it must state ${needed}`,
  };
}

/** Why an `ops` entry grants nothing, as one clause that is safe to log and to show. */
interface OpProblem {
  readonly problem: string;
}

const SHOWN_LENGTH = 100;

/**
 * Parses one entry of `ops`: `<Op>?workspace=<name>`, or a bare `<Op>`, which means the workspace named like the app.
 * Nothing is decoded, trimmed or completed: an entry that is not exactly one of the two forms grants nothing.
 */
export function parseOp(entry: unknown, app: string): Grant | OpProblem {
  if (typeof entry !== 'string') return { problem: 'an op must be text' };
  const queryAt = entry.indexOf('?');
  const name = queryAt < 0 ? entry : entry.slice(0, queryAt);
  const operation = SECRET_OPERATIONS.find((known) => known === name);
  if (operation === undefined) {
    return refuse(entry, `the operation is none of ${SECRET_OPERATIONS.join(', ')}`);
  }
  if (queryAt < 0) return parseBareOp(operation, app);
  const [parameter, second] = entry.slice(queryAt + 1).split('&', 2);
  if (parameter === undefined || second !== undefined || !parameter.startsWith('workspace=')) {
    return refuse(entry, 'the query must be exactly one workspace=<name>');
  }
  const workspace = parameter.slice('workspace='.length);
  if (!WORKSPACE_NAME.test(workspace)) return refuse(entry, `the workspace ${WORKSPACE_RULE}`);
  return { operation, workspace };
}

function parseBareOp(operation: SecretOperation, app: string): Grant | OpProblem {
  if (WORKSPACE_NAME.test(app)) return { operation, workspace: app };
  return refuse(
    operation,
    `a bare op means the workspace named like the app, and a workspace ${WORKSPACE_RULE}`,
  );
}

function refuse(entry: string, rule: string): OpProblem {
  const shown = entry.length > SHOWN_LENGTH ? `${entry.slice(0, SHOWN_LENGTH)}…` : entry;
  return { problem: `op ${JSON.stringify(shown)}: ${rule}` };
}
