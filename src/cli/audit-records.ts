import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { inodeAt, LineSplitter, linesOf, rotatedFilesOf } from '../audit/audit-files';
import { type AuditRecord, OUTCOME_OF } from '../audit/audit-sink';
import { printableJson } from './console';

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

const isText = (value: unknown): boolean => typeof value === 'string';
const isNumber = (value: unknown): boolean => typeof value === 'number';
const isTrue = (value: unknown): boolean => value === true;
const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const areCounts = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every(isNumber);

const TYPES = {
  time: isText,
  requestId: isText,
  event: isText,
  outcome: isText,
  reason: isText,
  operation: isText,
  app: isText,
  user: isText,
  claimedApp: isText,
  claimedUser: isText,
  administrator: isText,
  provenBy: areTexts,
  peer: isText,
  workspace: isText,
  workspaces: areTexts,
  environment: isText,
  name: isText,
  grants: areTexts,
  approved: areTexts,
  valueMac: isText,
  durationMs: isNumber,
  staleForMs: isNumber,
  refusals: areCounts,
  suppressing: isTrue,
  clientGone: isTrue,
} as const satisfies Record<keyof AuditRecord, (value: unknown) => boolean>;
const FIELDS = Object.entries(TYPES);

/**
 * Returns the record in a line; undefined for any other line, such as one of the log. A field of another type than a record's is left
 * out, so that one record that somebody edited does not keep the ones behind it from being read.
 */
function recordIn(line: Buffer): SeenRecord | undefined {
  if (!line.subarray(0, BEGIN.length).equals(BEGIN)) return undefined;
  try {
    const read = JSON.parse(line.toString('utf8')) as Partial<Record<string, unknown>>;
    const fields = FIELDS.filter(([field, isOfType]) => isOfType(read[field]));
    const record = Object.fromEntries(fields.map(([field]) => [field, read[field]])) as Partial<AuditRecord>;
    const { time, operation } = record;
    return time === undefined || operation === undefined ? undefined : { ...record, time, operation };
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
    ...[
      record.time,
      record.event === 'outcome' ? record.outcome : record.event,
      record.reason,
      record.operation,
    ]
      .filter((part) => part !== undefined)
      .map(plain),
    user !== undefined || app !== undefined ? `${plain(user)}/${plain(app)}` : claimed || '-',
    place.map(plain).join('/') || '-',
    administrator !== undefined && `by administrator ${plain(administrator)}`,
    record.peer !== undefined && `from ${plain(record.peer)}`,
    record.provenBy !== undefined && `by ${plain(record.provenBy.join(','))}`,
    record.refusals !== undefined && plain(JSON.stringify(record.refusals)),
    record.suppressing === true && 'further ones are counted',
    record.requestId !== undefined && `[${plain(record.requestId)}]`,
  ];
  return parts.filter((part) => part !== undefined && part !== false).join(' ');
}

/** A file that somebody edited may hold anything: what a terminal could act upon is escaped, as in printableJson(). */
export function plain(text: string | undefined): string {
  if (text === undefined) return '-';
  return /^[\p{L}\p{N}\p{P}\p{S}]+$/u.test(text) ? text : printableJson(text);
}

const POLL_MS = 250;
const CHUNK_BYTES = 64 * 1024;

/**
 * Follows an audit file from its beginning, over its rotations: what was written to a file before it was renamed comes first,
 * then the files that were rotated since, then the one that now has its name.
 */
export class FollowedFile {
  /** Open until the next one is: no other file can get its inode. */
  #fd: number;
  #at = 0;
  #splitter = new LineSplitter();
  /** Rotated files that are read, or older than the first. */
  readonly #done: Set<string>;

  /** The file must exist. A line is only valid until the next. */
  constructor(
    private readonly path: string,
    private readonly onLine: (line: Buffer) => void,
  ) {
    this.#fd = openSync(path, 'r');
    this.#done = new Set(rotatedFilesOf(path));
  }

  /** Calls back for each line that is complete, until the signal ends it. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.readOn();
        await pause(POLL_MS, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      closeSync(this.#fd);
    }
  }

  /** Reads what there is now. */
  readOn(): void {
    this.#readToEnd();
    const { ino } = fstatSync(this.#fd);
    // Between a rotation and the next record no file has the name.
    if ((inodeAt(this.path) ?? ino) === ino) return;
    const newest = openSync(this.path, 'r');
    const newestIno = fstatSync(newest).ino;
    // It may have grown until it was renamed.
    this.#readToEnd();
    for (const file of rotatedFilesOf(this.path).filter((one) => !this.#done.has(one))) {
      const inode = inodeAt(file);
      if (inode === newestIno) break;
      this.#done.add(file);
      if (inode !== ino) this.#goOn(openSync(file, 'r'));
    }
    this.#goOn(newest);
  }

  #goOn(fd: number): void {
    closeSync(this.#fd);
    this.#fd = fd;
    this.#at = 0;
    this.#splitter = new LineSplitter();
    this.#readToEnd();
  }

  #readToEnd(): void {
    // A batch that was not written whole is cut off again.
    const { size } = fstatSync(this.#fd);
    if (size < this.#at) {
      this.#at = size;
      this.#splitter = new LineSplitter();
    }
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const read = readSync(this.#fd, chunk, 0, CHUNK_BYTES, this.#at);
      if (read === 0) return;
      this.#at += read;
      for (const { line, isWhole } of this.#splitter.linesIn(chunk.subarray(0, read)))
        if (isWhole) this.onLine(line);
    }
  }
}
