import { LineCounter } from 'yaml';
import { itemsOf, ownField, percentDecoded } from '../json/json';
import { type Grant, grantKey, PROVIDER, SECRET_OPERATIONS } from './grant';
import { dividedGrants, SYSTEM_WORKSPACES } from './grant-source';
import { readManifest, textOf } from './manifest';
import { RefusedFile, refusalOf } from './plain-yaml';
import { parseOp, type SysDataWarning, trimmed } from './sys-data';

/** What a manifest is checked for, by the name under which a finding is reported, with what that is worth where nothing else says so. */
export const MANIFEST_RULES = {
  refused: { severity: 'error', text: 'The service refuses the file as a whole.' },
  'grants-nothing': { severity: 'error', text: 'An entry or an op that seems meant for us grants nothing.' },
  'no-config-map': {
    severity: 'error',
    text: 'The chart does not bring the manifest into the cluster, as Olares 1.12.1 and later need it.',
  },
  'unknown-group': { severity: 'warning', text: 'An entry is of a group that is nearly ours.' },
  'stated-twice': { severity: 'warning', text: 'A grant is stated twice.' },
  'system-workspace': { severity: 'warning', text: 'A workspace belongs to components of Olares.' },
  'needs-approval': {
    severity: 'note',
    text: 'On Olares 1.12.1 and later a grant needs an approval, as the workspace is not of the app’s own.',
  },
  'bare-op': { severity: 'note', text: 'An op names no workspace.' },
} as const;
export type ManifestRule = keyof typeof MANIFEST_RULES;
export type Severity = 'error' | 'warning' | 'note';

/** A part of a manifest: lines and columns are 1-based, columns count UTF-16 code units, and the end is behind the last one. */
export interface ManifestPlace {
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

export interface ManifestFinding extends ManifestPlace {
  readonly rule: ManifestRule;
  readonly severity: Severity;
  /** Of a refusal and of what grants nothing, what the service says. */
  readonly message: string;
  /** What should stand there instead, where that can be told. */
  readonly fix?: string;
}

export interface CheckedManifest {
  /** Absent where the manifest is refused. */
  readonly app?: string;
  readonly grants: readonly (Grant & ManifestPlace)[];
  /** In the order of the file. */
  readonly findings: readonly ManifestFinding[];
}

/**
 * Checks a manifest by the parser with which the service reads it.
 * @param isInConfigMap as on Olares 1.12.1 and later, where the chart brings the manifest in a ConfigMap
 */
export function checkManifest(source: string, isInConfigMap: boolean): CheckedManifest {
  const text = textOf(source);
  const placeOf = placesIn(text);
  try {
    return check(text, placeOf, isInConfigMap);
  } catch (error: unknown) {
    const offset = error instanceof RefusedFile ? error.offset : 0;
    return { grants: [], findings: [refusedAt(refusalOf(error, text).refused, placeOf(offset, offset))] };
  }
}

export const FILE_BEGIN: ManifestPlace = { line: 1, column: 1, endLine: 1, endColumn: 1 };

/** Returns the finding that a file is refused. */
export function refusedAt(message: string, place = FILE_BEGIN): ManifestFinding {
  return finding('refused', place, message);
}

type PlaceOf = (begin: number, end: number) => ManifestPlace;
type Path = SysDataWarning['path'];

function placesIn(text: string): PlaceOf {
  const lines = new LineCounter();
  for (const { index } of text.matchAll(/(?<![^\n])/g)) lines.addNewLine(index);
  return (begin, end) => {
    const [from, to] = [lines.linePos(begin), lines.linePos(end)];
    return { line: from.line, column: from.col, endLine: to.line, endColumn: to.col };
  };
}

function check(text: string, placeOf: PlaceOf, isInConfigMap: boolean): CheckedManifest {
  const { app, sysData, stated, rangeOf } = readManifest(text);
  const placeAt = (path: Path): ManifestPlace => placeOf(...rangeOf(path));
  const grants = stated.grants.map((grant, at) => ({ ...grant, ...placeAt(stated.paths[at] ?? []) }));
  // The place of a block scalar includes its line end, so that nothing fits in there.
  const unlessBlock = (path: Path, fix: string | undefined): string | undefined =>
    '|>'.includes(text.charAt(rangeOf(path)[0])) ? undefined : fix;
  const findings = [
    ...stated.warnings.map(({ path, reason }) =>
      finding(
        'grants-nothing',
        placeAt(path),
        reason,
        unlessBlock(path, fixOf(path, valueAt(sysData, path), app)),
      ),
    ),
    ...groupsNearOurs(sysData).map(([index, group]) =>
      finding(
        'unknown-group',
        placeAt([index, 'group']),
        `the entry of ${JSON.stringify(group)} is not ours and grants nothing here`,
        unlessBlock([index, 'group'], PROVIDER.group),
      ),
    ),
    ...statedTwice(grants),
    ...grants.flatMap((grant, at) => {
      const path = stated.paths[at] ?? [];
      if (String(valueAt(sysData, path)).includes('?')) return [];
      const message = `${grant.operation} names no workspace, so it is granted on ${app}`;
      return finding('bare-op', grant, message, unlessBlock(path, grantKey(grant.operation, app)));
    }),
    ...foreignWorkspaces(app, grants, isInConfigMap ? 'warning' : 'note'),
  ];
  return { app, grants, findings: findings.sort((a, b) => a.line - b.line || a.column - b.column) };
}

export function finding(
  rule: ManifestRule,
  { line, column, endLine, endColumn }: ManifestPlace,
  message: string,
  fix?: string,
  severity: Severity = MANIFEST_RULES[rule].severity,
): ManifestFinding {
  return { rule, severity, line, column, endLine, endColumn, message, ...(fix !== undefined && { fix }) };
}

type PlacedGrant = CheckedManifest['grants'][number];

function statedTwice(grants: readonly PlacedGrant[]): readonly ManifestFinding[] {
  const firstLines = new Map<string, number>();
  return grants.flatMap((grant) => {
    const key = grantKey(grant.operation, grant.workspace);
    const first = firstLines.get(key);
    if (first === undefined) firstLines.set(key, grant.line);
    return first === undefined
      ? []
      : [finding('stated-twice', grant, `${key} is stated in line ${first} already`)];
  });
}

/** Returns one finding for each workspace that is not of the app's own, where it is stated first. */
function foreignWorkspaces(
  app: string,
  grants: readonly PlacedGrant[],
  severity: Severity,
): readonly ManifestFinding[] {
  const ofUser = { apps: new Set([app]), reserved: SYSTEM_WORKSPACES };
  const { pending = new Set() } = dividedGrants(grants, app, ofUser, () => false);
  const foreign = grants.filter(({ operation, workspace }) => pending.has(grantKey(operation, workspace)));
  const firsts = foreign.filter(
    ({ workspace }, at) => foreign.findIndex((other) => other.workspace === workspace) === at,
  );
  return firsts.map((first) => {
    const { workspace } = first;
    const stated = foreign.filter((grant) => grant.workspace === workspace);
    const operations = [...new Set(stated.map(({ operation }) => operation))].join(', ');
    const whose = SYSTEM_WORKSPACES.has(workspace)
      ? 'belongs to components of Olares'
      : `is not of the app’s own (${app}, ${app}-…)`;
    const message = `workspace ${workspace} ${whose}; on Olares 1.12.1 and later the user must approve ${operations}`;
    return SYSTEM_WORKSPACES.has(workspace)
      ? finding('system-workspace', first, message)
      : finding('needs-approval', first, message, undefined, severity);
  });
}

/** Returns what a path below a plain value leads to. */
function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => ownField(at, String(step)), value);
}

/** Names of groups that differ from ours by so many characters are taken for it. */
const NEAR_GROUP = 3;

/** Returns the entries whose group was meant to be ours, and is not even that in other letters, which the parser reports. */
function groupsNearOurs(sysData: unknown): readonly (readonly [index: number, group: string])[] {
  return itemsOf(sysData).flatMap((entry, index) => {
    const group = ownField(entry, 'group');
    if (typeof group !== 'string' || group.length > 2 * PROVIDER.group.length) return [];
    const difference = editDistance(trimmed(group).toLowerCase(), PROVIDER.group);
    return difference > 0 && difference <= NEAR_GROUP ? [[index, group] as const] : [];
  });
}

/** Returns what should stand at a path of `sysData` that grants nothing. */
function fixOf(path: Path, value: unknown, app: string): string | undefined {
  const field = Object.entries(PROVIDER).find(([name]) => path.length === 2 && path[1] === name);
  if (field !== undefined) return field[1];
  if (path[1] !== 'ops' || typeof value !== 'string') return undefined;
  if (path.length > 2) return opNear(value, app);
  const isListOfOps = value.split(',').every((op) => !('problem' in parseOp(op.trim(), app)));
  return isListOfOps ? `[${value}]` : undefined;
}

/** Other words for what the operations do. */
const VERBS: Readonly<Record<string, (typeof SECRET_OPERATIONS)[number]>> = {
  getsecret: 'RetrieveSecret',
  readsecret: 'RetrieveSecret',
  addsecret: 'CreateSecret',
  removesecret: 'DeleteSecret',
};
const NEAR_OPERATION = 3;
const LONGEST_OP = 200;

/** Returns the op that was meant: other letters, other words, a wrong character, parameters that there are not. */
function opNear(op: string, app: string): string | undefined {
  if (op.length > LONGEST_OP) return undefined;
  const [name = '', query] = trimmed(op).split(/[?:](.*)/s, 2);
  const lower = name.trim().toLowerCase();
  const nearest = SECRET_OPERATIONS.map((known) => ({
    known,
    distance: editDistance(lower, known.toLowerCase()),
  })).sort((a, b) => a.distance - b.distance)[0];
  const operation =
    VERBS[lower] ?? (nearest && nearest.distance <= NEAR_OPERATION ? nearest.known : undefined);
  if (operation === undefined) return undefined;
  const [workspace = '', second] = [...(query ?? '').matchAll(/(?<=^|&)\s*workspace\s*=\s*([^&\s]*)/gi)].map(
    ([, stated = '']) => stated,
  );
  if (second !== undefined) return undefined;
  const near = query === undefined ? operation : grantKey(operation, percentDecoded(workspace) ?? workspace);
  return near !== op && !('problem' in parseOp(near, app)) ? near : undefined;
}

/** Returns how many characters must be added, removed or replaced to make one text of the other. */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let at = 0; at < from.length; at++) {
    const next = [at + 1];
    for (let other = 0; other < to.length; other++) {
      const replaced = (row[other] ?? 0) + (from[at] === to[other] ? 0 : 1);
      next.push(Math.min(replaced, (row[other + 1] ?? 0) + 1, (next[other] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
