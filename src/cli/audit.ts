import '../bootstrap/inspector-signal';
import { text } from 'node:stream/consumers';
import { AuditChain } from '../audit/audit-chain';
import { type AuditFault, linesOf, verifyAuditFiles } from '../audit/verify-audit-files';
import { MIN_KEY_BYTES, readKeyFile } from '../config/secret-source';

const USAGE = `The command is one of
  verify FILE…                  checks the chain over the files, the oldest first
  verify-value SEQ FILE…        says whether the value on standard input is the one that record SEQ wrote
AUDIT_KEY or AUDIT_KEY_FILE must hold the key that the records were made with.
`;

/** Wrong use, with a sentence that is safe to print. */
class AuditCommandUnusable extends Error {}

/** The command `node dist/cli/audit.js`: exit code 0 for a whole trail or the right value, 1 for another, 2 for wrong use. */
async function main(): Promise<void> {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'verify' && args.length > 0) process.exitCode = verify(args);
  else if (command === 'verify-value' && args.length > 1) process.exitCode = await verifyValue(args);
  else throw new AuditCommandUnusable(USAGE);
}

function verify(paths: readonly string[]): number {
  const chain = new AuditChain(auditKey());
  const files = paths.filter((path) => !path.endsWith('.head'));
  // A rotated file is older than the one whose name it begins with.
  const ordered = [...files].sort(
    (a, b) => Number(b.startsWith(`${a}.`)) - Number(a.startsWith(`${b}.`)) || (a < b ? -1 : 1),
  );
  const { records, first, last, faults } = verifyAuditFiles(ordered, `${ordered.at(-1) ?? ''}.head`, chain);
  for (const fault of faults) print(sentenceOf(fault));
  print(`${records} records, ${first} to ${last.seq}; the last is ${last.mac}.`);
  if (first > 1) print(`The records before ${first} are in files that were not given.`);
  print(faults.length === 0 ? 'The trail is whole.' : `The trail has ${faults.length} fault(s).`);
  return faults.length === 0 ? 0 : 1;
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
  const where = line === undefined ? file : `${file}, line ${line}`;
  const records = from === undefined ? 'it' : from === to ? `record ${from}` : `records ${from} to ${to}`;
  return `${kind.toUpperCase()} ${where}: ${records} ${WHAT[kind]}.`;
}

async function verifyValue([seq = '', ...files]: readonly string[]): Promise<number> {
  const chain = new AuditChain(auditKey());
  for (const file of files) {
    for (const { line } of linesOf(file)) {
      const parsed = chain.parse(line);
      if (parsed?.seq !== Number(seq)) continue;
      if (!parsed.isGenuine)
        throw new AuditCommandUnusable('The record was changed, or the key is another.\n');
      return compare(chain, JSON.parse(line.toString('utf8')) as WrittenValue);
    }
  }
  throw new AuditCommandUnusable('No file has a record of that number.\n');
}

/** The fields of a record that say what was written where. */
interface WrittenValue {
  readonly user?: string;
  readonly workspace?: string;
  readonly environment?: string;
  readonly name?: string;
  readonly valueMac?: string;
}

async function compare(
  chain: AuditChain,
  { user = '', workspace = '', environment = '', name = '', valueMac }: WrittenValue,
): Promise<number> {
  if (valueMac === undefined) throw new AuditCommandUnusable('The record is not of a write with a value.\n');
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
  throw new AuditCommandUnusable(USAGE);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(
    error instanceof AuditCommandUnusable ? error.message : 'audit: a file cannot be read\n',
  );
  process.exitCode = 2;
});
