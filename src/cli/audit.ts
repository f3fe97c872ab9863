import '../bootstrap/hardened-process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { AuditChain } from '../audit/audit-chain';
import { type AuditFault, linesOf, verifyAuditFiles } from '../audit/audit-files';
import type { AuditRecord } from '../audit/audit-sink';
import { MIN_KEY_BYTES, readKeyFile } from '../config/environment-reader';
import {
  FollowedFile,
  matchIn,
  oldestFirst,
  OUTCOMES,
  plain,
  type RecordFilter,
  recordsIn,
  type SeenRecord,
  textOf,
} from './audit-records';
import { AuditReport, reportLines } from './audit-report';
import { printableJson } from './console';
import { UsageError } from '../errors/operator-errors';

const USAGE = `The command is one of
  verify FILE…                  checks the chain over the files, the oldest first
  verify-value SEQ FILE…        says whether the value on standard input is the one that record SEQ wrote
  grep [FILTER…] FILE…          prints records; FILE may be - for standard input
  tail [FILTER…] [--lines 10] [--follow] FILE
                                prints the last records, and what follows over rotations
  report [FILTER…] [--days 90] [--rows 20] [--grants HELD] FILE…
                                unused grants, shared workspaces, refusals by reason, first reads of each secret;
                                HELD has lines of user, app and grant, which count as held without a record
  FILTER: --app --user --workspace --name --operation, --outcome ${OUTCOMES.join('|')},
          --from TIME --to TIME (2026-11-27 or 2026-11-27T10:00:00Z); --json prints JSON
AUDIT_KEY or AUDIT_KEY_FILE must hold the key that the records were made with, for verify and verify-value.
`;

/** The command `node dist/cli/audit.js`: exit code 0 for a trail that is known to be whole or the right value, 1 for another, 2 for wrong use. */
async function main(): Promise<void> {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'verify' && args.length > 0) process.exitCode = verify(args);
  else if (command === 'verify-value' && args.length > 1) process.exitCode = await verifyValue(args);
  else if (command === 'grep' || command === 'tail' || command === 'report') await read(command, args);
  else throw new UsageError(USAGE);
}

const TEXT = { type: 'string' } as const;
const OPTIONS = {
  app: TEXT,
  user: TEXT,
  workspace: TEXT,
  name: TEXT,
  operation: TEXT,
  outcome: TEXT,
  from: TEXT,
  to: TEXT,
  lines: TEXT,
  days: TEXT,
  rows: TEXT,
  grants: TEXT,
  json: { type: 'boolean' },
  follow: { type: 'boolean' },
} as const;

async function read(command: 'grep' | 'tail' | 'report', args: readonly string[]): Promise<void> {
  const { values, positionals: files } = parsed(args);
  const { outcome, json = false, follow = false } = values;
  if (files.length === 0 || (outcome !== undefined && !OUTCOMES.includes(outcome)))
    throw new UsageError(USAGE);
  const filter = { ...values, fromMs: timeIn(values.from), toMs: timeIn(values.to) };
  const shown = (record: SeenRecord, line: Buffer) =>
    json ? printableJson(JSON.parse(line.toString('utf8'))) : textOf(record);
  if (command === 'tail') return tail(files, filter, numberIn(values.lines, 10), follow, shown);
  if (command === 'grep') {
    for (const { record, line } of recordsIn(oldestFirst(files), filter)) await printAll(shown(record, line));
    return;
  }
  const report = new AuditReport(numberIn(values.days, 90));
  for (const grant of heldGrants(values.grants)) report.holds(...grant);
  for (const { record } of recordsIn(oldestFirst(files), filter)) report.add(record);
  const summary = report.summary();
  if (json) await printAll(printableJson(summary));
  else for (const line of reportLines(summary, numberIn(values.rows, 20))) await printAll(line);
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch {
    throw new UsageError(USAGE);
  }
}

/** Prints the last records; with `follow`, all that come until the process is ended. */
async function tail(
  [path = '', ...others]: readonly string[],
  filter: RecordFilter,
  count: number,
  follow: boolean,
  shown: (record: SeenRecord, line: Buffer) => string,
): Promise<void> {
  if (others.length > 0) throw new UsageError(USAGE);
  const last: string[] = [];
  let isFirst = true;
  const file = new FollowedFile(path, (line) => {
    const record = matchIn(line, filter);
    if (record === undefined) return;
    if (!isFirst) print(shown(record, line));
    else if (last.push(shown(record, line)) > count) last.shift();
  });
  file.readOn();
  for (const line of last) print(line);
  isFirst = false;
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());
  if (follow) await file.follow(ended.signal);
}

function timeIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new UsageError(USAGE);
  return ms;
}

function numberIn(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,5}$/.test(text)) throw new UsageError(USAGE);
  return Number(text);
}

/** Yields user, app and grant of each line. */
function* heldGrants(path: string | undefined): Generator<readonly [string, string, string]> {
  if (path === undefined) return;
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [user, app, grant] = line.trim().split(/\s+/);
    if (user !== undefined && app !== undefined && grant !== undefined) yield [user, app, grant];
  }
}

function verify(paths: readonly string[]): number {
  const chain = new AuditChain(auditKey());
  const files = paths.filter((path) => !path.endsWith('.head'));
  const ordered = oldestFirst(files);
  const newest = ordered.at(-1);
  if (newest === undefined) throw new UsageError(USAGE);
  const head = `${newest}.head`;
  const hasHead = existsSync(head);
  const { records, first, last, faults } = verifyAuditFiles(ordered, hasHead ? head : undefined, chain);
  for (const fault of faults) print(sentenceOf(fault));
  print(`${records} records, ${first} to ${last.seq}; the last is ${last.mac}.`);
  if (first > 1) print(`The records before ${first} are in files that were not given.`);
  if (!hasHead) print(`There is no ${plain(head)}: records that are missing at the end are not noticed.`);
  if (faults.length > 0) print(`The trail has ${faults.length} fault(s).`);
  else if (hasHead) print('The trail is whole.');
  return faults.length === 0 && hasHead ? 0 : 1;
}

const WHAT = {
  edited: 'was changed, or is no record',
  missing: 'are missing before this line',
  reordered: 'stands behind a later one',
  cut: 'ends in the middle',
  truncated: 'are missing at the end',
  head: 'was changed',
} as const satisfies Record<AuditFault['kind'], string>;

function sentenceOf({ kind, file, line, from, to }: AuditFault): string {
  const where = line === undefined ? plain(file) : `${plain(file)}, line ${line}`;
  const records = from === undefined ? 'it' : from === to ? `record ${from}` : `records ${from} to ${to}`;
  return `${kind.toUpperCase()} ${where}: ${records} ${WHAT[kind]}.`;
}

async function verifyValue([seq = '', ...files]: readonly string[]): Promise<number> {
  const chain = new AuditChain(auditKey());
  for (const file of files) {
    for (const { line } of linesOf(file)) {
      const parsed = chain.parse(line);
      if (parsed?.seq !== Number(seq)) continue;
      if (!parsed.isGenuine) throw new UsageError('The record was changed, or the key is another.\n');
      return compare(chain, JSON.parse(line.toString('utf8')) as AuditRecord);
    }
  }
  throw new UsageError('No file has a record of that number.\n');
}

async function compare(
  chain: AuditChain,
  { user = '', workspace = '', environment = '', name = '', valueMac }: AuditRecord,
): Promise<number> {
  if (valueMac === undefined) throw new UsageError('The record is not of a write with a value.\n');
  const value = await text(process.stdin);
  const isIt = chain.valueMac({ user, workspace, environment, name }, value) === valueMac;
  print(isIt ? 'It is the value that was written.' : 'It is another value.');
  return isIt ? 0 : 1;
}

function auditKey(): Uint8Array {
  const { AUDIT_KEY: given = '', AUDIT_KEY_FILE: file = '' } = process.env;
  try {
    const key = file === '' ? Buffer.from(given) : readKeyFile(file);
    if (key.length >= MIN_KEY_BYTES) return key;
  } catch {
    // The sentence below says it too.
  }
  throw new UsageError(USAGE);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints a line, and waits where its reader is behind. */
async function printAll(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

// Whoever reads only the beginning, as `head` does, ends the command; a full disk does not let a part be taken for all.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit();
  process.stderr.write('audit: standard output cannot be written\n');
  process.exit(2);
});

main().catch((error: unknown) => {
  process.stderr.write(error instanceof UsageError ? error.message : 'audit: a file cannot be read\n');
  process.exitCode = 2;
});
