import { type AuditRecord, OUTCOME_OF } from '../audit/audit-sink';
import { linesOf } from '../audit/audit-files';

/** A record as it was read: of whoever could write the file, so each field may be missing. */
export type SeenRecord = Partial<AuditRecord> & { readonly time: string; readonly operation: string };

/** What records are asked for; all fields must match. */
export interface RecordFilter {
  /** Also the app or the user that a refused proof claimed to be. */
  readonly app?: string | undefined;
  readonly user?: string | undefined;
  readonly workspace?: string | undefined;
  readonly name?: string | undefined;
  readonly operation?: string | undefined;
  readonly outcome?: string | undefined;
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
}

export const OUTCOMES: readonly string[] = [...new Set(Object.values(OUTCOME_OF)), 'allowed'];

const BEGIN = Buffer.from('{"audit":1,');

/** Returns the record in a line; undefined for any other line, such as one of the log. */
export function recordIn(line: Buffer): SeenRecord | undefined {
  if (!line.subarray(0, BEGIN.length).equals(BEGIN)) return undefined;
  try {
    const record = JSON.parse(line.toString('utf8')) as Partial<Record<string, unknown>>;
    const { time, operation } = record;
    if (typeof time !== 'string' || typeof operation !== 'string') return undefined;
    return record as SeenRecord;
  } catch {
    return undefined;
  }
}

/** Returns whether a line may hold a record that the filter asks for, without parsing it. */
function mayMatch(line: Buffer, { app, user, workspace, operation, outcome }: RecordFilter): boolean {
  return [app, user, workspace, operation, outcome].every(
    (asked) => asked === undefined || line.includes(`"${asked}"`),
  );
}

export function matches(record: SeenRecord, filter: RecordFilter): boolean {
  const { app, user, workspace, name, operation, outcome, fromMs = -Infinity, toMs = Infinity } = filter;
  const isAny = (asked: string | undefined, ...found: readonly (string | undefined)[]): boolean =>
    asked === undefined || found.includes(asked);
  const timeMs = Date.parse(record.time);
  return (
    isAny(app, record.app, record.claimedApp) &&
    isAny(user, record.user, record.claimedUser, record.administrator) &&
    isAny(workspace, record.workspace, ...(record.workspaces ?? [])) &&
    isAny(name, record.name) &&
    isAny(operation, record.operation) &&
    isAny(outcome, record.outcome) &&
    timeMs >= fromMs &&
    timeMs < toMs
  );
}

/** Returns the record in a line that the filter asks for. */
export function matchIn(line: Buffer, filter: RecordFilter): SeenRecord | undefined {
  const record = mayMatch(line, filter) ? recordIn(line) : undefined;
  return record !== undefined && matches(record, filter) ? record : undefined;
}

/** Yields what the filter asks for, file by file, with its line. Only one line is held at a time. `-` is standard input. */
export function* recordsIn(
  files: readonly string[],
  filter: RecordFilter,
): Generator<{ readonly line: Buffer; readonly record: SeenRecord }> {
  for (const file of files) {
    for (const { line } of linesOf(file === '-' ? 0 : file)) {
      const record = matchIn(line, filter);
      if (record !== undefined) yield { line, record };
    }
  }
}

/** Orders audit files from the oldest to the newest: a rotated file is older than the one whose name it begins with. */
export function oldestFirst(paths: readonly string[]): readonly string[] {
  return [...paths].sort(
    (a, b) => Number(b.startsWith(`${a}.`)) - Number(a.startsWith(`${b}.`)) || (a < b ? -1 : 1),
  );
}

/** Returns a record as one line for people: time, outcome, operation, who, what, from where and how that was proven. */
export function textOf(record: SeenRecord): string {
  const { app, user, claimedApp, claimedUser, administrator, workspace, workspaces, environment, name } =
    record;
  const claimed = claimedApp !== undefined && `claimed ${plain(claimedUser)}/${plain(claimedApp)}`;
  const place = [workspace ?? workspaces?.join(','), environment, name].filter((part) => part !== undefined);
  const parts = [
    record.time,
    record.event === 'outcome' ? record.outcome : record.event,
    record.reason,
    record.operation,
    user !== undefined || app !== undefined ? `${plain(user)}/${plain(app)}` : claimed || '-',
    place.map(plain).join('/') || '-',
    administrator !== undefined && `by administrator ${plain(administrator)}`,
    record.peer !== undefined && `from ${plain(record.peer)}`,
    record.provenBy !== undefined && `by ${plain([record.provenBy].flat().join(','))}`,
    record.refusals !== undefined && plain(JSON.stringify(record.refusals)),
    record.suppressing === true && 'further ones are counted',
    record.requestId !== undefined && `[${plain(record.requestId)}]`,
  ];
  return parts.filter((part) => part !== undefined && part !== false).join(' ');
}

/** A file that somebody edited may hold anything: what a terminal could act upon is escaped. */
export function plain(text: string | undefined): string {
  if (text === undefined) return '-';
  return /^[\p{L}\p{N}\p{P}\p{S}]+$/u.test(text) ? text : JSON.stringify(text);
}
