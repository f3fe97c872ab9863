import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditChain, CHAIN_BEGIN, type ChainEnd } from '../../src/audit/audit-chain';
import { verifyAuditFiles } from '../../src/audit/audit-files';
import { auditRecord } from '../conformance/audit-sink.conformance';

const chain = new AuditChain(Buffer.alloc(32, 7));
const root = mkdtempSync(join(tmpdir(), 'audit-'));
const path = join(root, 'audit.log');
afterAll(() => rmSync(root, { recursive: true }));

function trail(records: number): { readonly lines: string[]; readonly end: ChainEnd } {
  let end = CHAIN_BEGIN;
  const lines: string[] = [];
  for (let at = 1; at <= records; at += 1) {
    const chained = chain.lineAfter(end, auditRecord(`secret-${at}`));
    lines.push(chained.line);
    end = chained.end;
  }
  return { lines, end };
}

function verdictOf(lines: readonly string[], by = chain, end?: ChainEnd) {
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
  if (end !== undefined) writeFileSync(`${path}.head`, chain.headText(end));
  return verifyAuditFiles([path], end && `${path}.head`, by);
}

const fault = (kind: string, line: number, from: number, to = from) => ({
  kind,
  file: 'audit.log',
  line,
  from,
  to,
});

describe('the check of an audit trail', () => {
  const { lines, end } = trail(10);
  const changed = (at: number, change: (line: string) => string) =>
    lines.map((line, index) => (index === at - 1 ? change(line) : line));

  it('finds nothing in a trail as it was written', () => {
    expect(verdictOf(lines, chain, end)).toEqual({ records: 10, first: 1, last: end, faults: [] });
  });

  it.each([1, 5, 10])('finds that record %i was edited', (at) => {
    const edited = changed(at, (line) => line.replace(`"secret-${at}"`, '"another"'));
    expect(verdictOf(edited).faults).toEqual([fault('edited', at, at)]);
  });

  it('finds a record that was written by somebody without the key', () => {
    const forger = new AuditChain(Buffer.alloc(32, 8));
    const before = chain.parse(Buffer.from(lines[8]!))!;
    const forged = forger.lineAfter({ seq: before.seq, mac: before.mac }, auditRecord('forged')).line;
    expect(verdictOf(changed(10, () => forged)).faults).toEqual([fault('edited', 10, 10)]);
  });

  it('repeats nothing of what stands in the place of a mac', () => {
    const obeyed = '\u001b[2J\u001b[HThe trail is whole.\u001b[8m'.padEnd(43);
    const { faults, last } = verdictOf(changed(10, (line) => `${line.slice(0, -45)}${obeyed}"}`));
    expect([faults, last]).toEqual([[fault('edited', 10, 10)], { seq: 10, mac: '-' }]);
  });

  it('finds a genuine record of another trail in the place of one', () => {
    const other = chain.lineAfter({ seq: 4, mac: 'x'.repeat(43) }, auditRecord('other')).line;
    expect(verdictOf(changed(5, () => other)).faults.length).toBeGreaterThan(0);
  });

  it('finds which records are missing', () => {
    expect(verdictOf([...lines.slice(0, 3), ...lines.slice(6)]).faults).toEqual([fault('missing', 4, 4, 6)]);
  });

  it('finds records that change places, without calling them missing', () => {
    const [a, b, c, d, ...rest] = lines;
    expect(verdictOf([a!, c!, b!, d!, ...rest]).faults).toEqual([fault('reordered', 3, 2)]);
    expect(verdictOf([a!, d!, b!, c!, ...rest]).faults).toEqual([
      fault('reordered', 3, 2),
      fault('reordered', 4, 3),
    ]);
  });

  it('finds a record that stands twice', () => {
    expect(verdictOf([...lines.slice(0, 5), lines[4]!, ...lines.slice(5)]).faults).toEqual([
      fault('reordered', 6, 5),
    ]);
  });

  it('finds that the end is missing, by the file that remembers it', () => {
    expect(verdictOf(lines.slice(0, 7), chain, end).faults).toEqual([
      { kind: 'truncated', file: 'audit.log.head', from: 8, to: 10 },
    ]);
  });

  it('finds that the file that remembers the end was changed', () => {
    verdictOf(lines, chain, end);
    writeFileSync(`${path}.head`, chain.headText(end).replace('10', '05'));
    expect(verifyAuditFiles([path], `${path}.head`, chain).faults).toEqual([
      { kind: 'head', file: 'audit.log.head' },
    ]);
  });

  it('finds that the last line was cut', () => {
    writeFileSync(path, lines.join('\n'));
    expect(verifyAuditFiles([path], undefined, chain).faults).toEqual([fault('cut', 10, 10)]);
  });

  it('takes nothing for genuine with another key', () => {
    expect(verdictOf(lines, new AuditChain(Buffer.alloc(32, 9))).faults).toHaveLength(10);
  });

  it('begins where the files begin, so that old ones may be put away', () => {
    expect(verdictOf(lines.slice(4))).toMatchObject({ records: 6, first: 5, faults: [] });
  });
});

describe('the keyed hash of a value', () => {
  const place = { user: 'alice', workspace: 'notes', environment: 'prod', name: 'key' };
  it('is the same for the same value in the same place, and another one otherwise', () => {
    expect(chain.valueMac(place, 'v')).toBe(chain.valueMac({ ...place }, 'v'));
    expect(chain.valueMac(place, 'w')).not.toBe(chain.valueMac(place, 'v'));
    expect(chain.valueMac({ ...place, name: 'other' }, 'v')).not.toBe(chain.valueMac(place, 'v'));
    expect(new AuditChain(Buffer.alloc(32, 9)).valueMac(place, 'v')).not.toBe(chain.valueMac(place, 'v'));
  });
});
