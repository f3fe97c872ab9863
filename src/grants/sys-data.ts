import { type Grant, PROVIDER } from './grant';
import { parseOp } from './parse-op';

/** Something in `sysData` that looks meant for us and grants nothing. */
export interface SysDataWarning {
  /** Where, counted from `sysData`: `[2, 'ops', 0]`. */
  readonly path: readonly (string | number)[];
  readonly reason: string;
}

export interface SysDataGrants {
  readonly grants: readonly Grant[];
  readonly warnings: readonly SysDataWarning[];
}

/** Real apps state five or ten. */
const MAX_OPS = 1_000;
/** So many entries that are nearly ours are told. */
const MAX_INEXACT = 20;

/** Why none of a list is taken. */
export interface SysDataRefusal {
  readonly refused: string;
}

/**
 * The grants that a `sysData` list states for an app, from a manifest or from an ApplicationPermission.
 * Entries of other providers are ignored whatever their shape; an entry or an op of ours that is not exact grants nothing.
 */
export function parseSysData(sysData: unknown, app: string): SysDataGrants | SysDataRefusal {
  const grants: Grant[] = [];
  const warnings: SysDataWarning[] = [];
  if (sysData === undefined || sysData === null) return { grants, warnings };
  if (!Array.isArray(sysData)) return { grants, warnings: [{ path: [], reason: 'sysData must be a list' }] };
  let [stated, inexact] = [0, 0];
  for (const [index, entry] of (sysData as readonly unknown[]).entries()) {
    const wrong = wrongFieldsOf(entry);
    if (wrong === undefined) continue;
    if (wrong.length > 0) {
      if ((inexact += 1) <= MAX_INEXACT) warnings.push(inexactEntry(index, entry, wrong));
      continue;
    }
    const ops = own(entry, 'ops');
    stated += Array.isArray(ops) ? ops.length : 1;
    if (stated > MAX_OPS) return { refused: `more than ${MAX_OPS} ops` };
    if (!Array.isArray(ops)) {
      warnings.push({ path: [index, 'ops'], reason: 'ops must be a list' });
      continue;
    }
    for (const [position, op] of (ops as readonly unknown[]).entries()) {
      const parsed = parseOp(op, app);
      if ('problem' in parsed) warnings.push({ path: [index, 'ops', position], reason: parsed.problem });
      else grants.push(parsed);
    }
  }
  return { grants, warnings };
}

type ProviderField = keyof typeof PROVIDER;
const PROVIDER_FIELDS = Object.keys(PROVIDER) as ProviderField[];

/** Which fields of our tuple an entry states otherwise; undefined for an entry of another provider, by its group. */
function wrongFieldsOf(entry: unknown): readonly ProviderField[] | undefined {
  const group = own(entry, 'group');
  if (typeof group !== 'string' || group.trim().toLowerCase() !== PROVIDER.group) return undefined;
  return PROVIDER_FIELDS.filter((field) => own(entry, field) !== PROVIDER[field]);
}

function inexactEntry(index: number, entry: unknown, wrong: readonly ProviderField[]): SysDataWarning {
  const [first = 'version'] = wrong;
  const needed = wrong.map((field) => `${field}: ${PROVIDER[field]}`).join(' and ');
  return {
    path: own(entry, first) === undefined ? [index] : [index, first],
    reason: `the entry of ${PROVIDER.group} grants nothing: it must state ${needed}`,
  };
}

/** Own properties only: a `__proto__` in the file must not lend an entry fields that it does not state. */
function own(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) return undefined;
  return (value as Record<string, unknown>)[field];
}
