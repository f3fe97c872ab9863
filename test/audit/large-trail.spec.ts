import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditChain, CHAIN_BEGIN } from '../../src/audit/audit-chain';
import { linesOf, verifyAuditFiles } from '../../src/audit/audit-files';
import { auditRecord } from '../conformance/audit-sink.conformance';

/** A million with LONG_TESTS=true. */
const RECORDS = process.env['LONG_TESTS'] === 'true' ? 1_000_000 : 200_000;
/** What the issue allows for a million, in proportion. */
const MAX_MS = (10_000 * RECORDS) / 1_000_000;
const AT = RECORDS / 2;

describe(`the check of a file of ${RECORDS} records, in less than ${MAX_MS} ms`, () => {
  const root = fs.mkdtempSync(join(tmpdir(), 'large-trail-'));
  const path = join(root, 'audit.log');
  const chain = new AuditChain(Buffer.alloc(32, 7));
  let begins: { readonly at: number; readonly length: number }[] = [];
  let longestMs = 0;
  afterAll(() => {
    fs.rmSync(root, { recursive: true });
    process.stdout.write(`figure: longest check of ${RECORDS} audit records = ${Math.round(longestMs)} ms\n`);
  });

  beforeAll(() => {
    const fd = fs.openSync(path, 'w');
    let end = CHAIN_BEGIN;
    let position = 0;
    const batch: string[] = [];
    for (let at = 1; at <= RECORDS; at += 1) {
      const more = {
        app: 'notes',
        user: 'alice',
        peer: '10.233.64.17',
        workspace: 'notes',
        environment: 'prod',
      };
      const chained = chain.lineAfter(end, { ...auditRecord(`secret-${at}`), ...more, outcome: 'allowed' });
      end = chained.end;
      const length = chained.line.length + 1;
      // Of the two that change places.
      if (at === AT || at === AT + 1) begins = [...begins, { at: position, length }];
      position += length;
      if (batch.push(chained.line) === 10_000) fs.writeSync(fd, `${batch.splice(0).join('\n')}\n`);
    }
    if (batch.length > 0) fs.writeSync(fd, `${batch.join('\n')}\n`);
    fs.closeSync(fd);
    fs.writeFileSync(`${path}.head`, chain.headText(end));
  }, 120_000);

  const verified = () => {
    const beganMs = performance.now();
    const { records, faults } = verifyAuditFiles([path], `${path}.head`, chain);
    const tookMs = performance.now() - beganMs;
    longestMs = Math.max(longestMs, tookMs);
    expect(tookMs).toBeLessThan(MAX_MS);
    return { records, faults };
  };
  const bytesAt = (at: number, length: number): Buffer => {
    const fd = fs.openSync(path, 'r');
    const bytes = Buffer.alloc(length);
    fs.readSync(fd, bytes, 0, length, at);
    fs.closeSync(fd);
    return bytes;
  };
  const write = (at: number, bytes: Buffer): void => {
    const fd = fs.openSync(path, 'r+');
    fs.writeSync(fd, bytes, 0, bytes.length, at);
    fs.closeSync(fd);
  };
  const fault = (kind: string, line: number, from: number) => ({
    kind,
    file: 'audit.log',
    line,
    from,
    to: from,
  });

  it('finds nothing in it as it was written', () => {
    expect(verified()).toEqual({ records: RECORDS, faults: [] });
    let lines = 0;
    for (const { isWhole } of linesOf(path)) lines += Number(isWhole);
    expect(lines).toBe(RECORDS);
  });

  it('finds an edit of one letter', () => {
    const [{ at, length } = { at: 0, length: 0 }] = begins;
    const before = bytesAt(at, length);
    write(at, Buffer.from(before.toString().replace('"alice"', '"blice"')));
    expect(verified().faults).toEqual([fault('edited', AT, AT)]);
    write(at, before);
  });

  it('finds two records that changed places', () => {
    const [a = { at: 0, length: 0 }, b = { at: 0, length: 0 }] = begins;
    const [one, two] = [bytesAt(a.at, a.length), bytesAt(b.at, b.length)];
    write(a.at, Buffer.concat([two, one]));
    expect(verified().faults).toEqual([fault('reordered', AT + 1, AT)]);
    write(a.at, Buffer.concat([one, two]));
  });

  it('finds that the second half was cut off, in the middle of a record', () => {
    const [, { at } = { at: 0 }] = begins;
    fs.truncateSync(path, at + 10);
    expect(verified().faults).toEqual([
      fault('cut', AT + 1, AT + 1),
      { kind: 'truncated', file: 'audit.log.head', from: AT + 1, to: RECORDS },
    ]);
  });
});
