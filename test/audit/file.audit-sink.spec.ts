import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditChain } from '../../src/audit/audit-chain';
import { type AuditFileOptions, FileAuditSink } from '../../src/audit/file.audit-sink';
import { rotatedFilesOf, verifyAuditFiles } from '../../src/audit/audit-files';
import { auditRecord, describeAuditSink } from '../conformance/audit-sink.conformance';
import { FixedClock } from '../support/fixed-clock';
import { itWith } from '../support/describe-with';
import { SmallDisk } from '../support/small-disk';

const chain = new AuditChain(Buffer.alloc(32, 7));
const roots: string[] = [];
afterAll(() => roots.forEach((root) => fs.rmSync(root, { recursive: true, force: true })));

interface Opened {
  readonly sink: FileAuditSink;
  readonly path: string;
  readonly events: string[];
  readonly clock: FixedClock;
}

function folder(): string {
  const root = fs.mkdtempSync(join(tmpdir(), 'audit-'));
  roots.push(root);
  return root;
}

function opened(options: Partial<AuditFileOptions> = {}, clock = new FixedClock(Date.now())): Opened {
  const path = options.path ?? join(folder(), 'trail', 'audit.log');
  const events: string[] = [];
  const all = {
    maxFileBytes: 1e9,
    maxFileAgeMs: 1e12,
    keptFiles: 0,
    durability: 'os',
    ...options,
    path,
  } as const;
  const sink = new FileAuditSink(all, chain, { clock, log: (_level, event) => void events.push(event) });
  return { sink, path, events, clock };
}

const filesOf = (path: string) => [...rotatedFilesOf(path), path];
const linesIn = (path: string) =>
  filesOf(path).flatMap((file) => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean));
const verdictOf = (path: string) => verifyAuditFiles(filesOf(path), `${path}.head`, chain);

describe.each(['os', 'fsync'] as const)('with durability %s', (durability) => {
  describeAuditSink('FileAuditSink', () => {
    const { sink, path } = opened({ durability, maxFileBytes: 100_000 });
    const root = join(path, '..');
    return {
      sink,
      taken: () => linesIn(path).map((line) => JSON.parse(line)),
      // The folder becomes a file, which no right of ours can get around.
      fail: () => {
        fs.renameSync(root, `${root}-away`);
        fs.writeFileSync(root, '');
      },
      mend: () => {
        fs.rmSync(root);
        fs.renameSync(`${root}-away`, root);
      },
    };
  });
});

describe('FileAuditSink', () => {
  it('waits for the file system in no call that holds the event loop', () => {
    const source = fs.readFileSync(join(__dirname, '../../src/audit/file.audit-sink.ts'), 'utf8');
    expect(source.match(/\w+Sync\b/g) ?? []).toEqual([]);
  });

  it('takes a record that is appended while it closes', async () => {
    const { sink, path } = opened();
    await sink.append(auditRecord('before'));
    const closed = sink.close();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await sink.append(auditRecord('meanwhile'));
    await closed;
    expect(linesIn(path)).toHaveLength(2);
    await sink.close();
    expect(verdictOf(path)).toMatchObject({ records: 2, last: { seq: 2 }, faults: [] });
  });

  it('goes on with the chain over rotations by size and restarts', async () => {
    const { sink, path } = opened({ maxFileBytes: 2_000 });
    for (let at = 0; at < 20; at += 1) await sink.append(auditRecord(`a${at}`));
    await sink.close();
    const again = opened({ path, maxFileBytes: 2_000 });
    for (let at = 0; at < 20; at += 1) await again.sink.append(auditRecord(`b${at}`));
    await again.sink.close();
    expect(rotatedFilesOf(path).length).toBeGreaterThan(2);
    expect(verdictOf(path)).toMatchObject({ records: 40, first: 1, last: { seq: 40 }, faults: [] });
  });

  it('rotates a file that has become too old, and deletes the oldest where it may keep only so many', async () => {
    const { sink, path, clock } = opened({ maxFileAgeMs: 1_000, keptFiles: 2 });
    for (let at = 0; at < 5; at += 1) {
      await sink.append(auditRecord(`${at}`));
      clock.advance(60_000);
    }
    await sink.close();
    expect(rotatedFilesOf(path)).toHaveLength(2);
    expect(verdictOf(path)).toMatchObject({ records: 3, first: 3, last: { seq: 5 }, faults: [] });
  });

  it('makes a file that only its user may read', async () => {
    const { sink, path } = opened();
    await sink.append(auditRecord('one'));
    await sink.close();
    expect(fs.statSync(path).mode & 0o777).toBe(0o600);
    expect(fs.statSync(join(path, '..')).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['removed', (path: string) => fs.rmSync(path)],
    ['made shorter', (path: string) => fs.truncateSync(path)],
  ])(
    'begins another file where its own was %s, says so, and the check finds what is missing',
    async (_how, spoil) => {
      const { sink, path, events } = opened();
      await sink.append(auditRecord('one'));
      spoil(path);
      await sink.append(auditRecord('two'));
      await sink.append(auditRecord('three'));
      await sink.close();
      expect(events).toContain('audit_file_replaced');
      expect(linesIn(path)).toHaveLength(2);
      expect(verdictOf(path)).toMatchObject({ records: 2, first: 2, last: { seq: 3 } });
    },
  );

  it('cuts off a record that a crash left unfinished, and goes on behind the last whole one', async () => {
    const { sink, path } = opened();
    await sink.append(auditRecord('one'));
    await sink.close();
    fs.appendFileSync(path, '{"audit":1,"seq":2,"pre');
    expect(verdictOf(path).faults).toEqual([{ kind: 'cut', file: 'audit.log', line: 2, from: 2, to: 2 }]);
    const again = opened({ path });
    await again.sink.append(auditRecord('two'));
    await again.sink.close();
    expect(again.events).toContain('audit_tail_cut');
    expect(verdictOf(path)).toMatchObject({ records: 2, faults: [] });
  });

  it('goes on behind records that it refused and could not cut off again', async () => {
    const { sink, path } = opened();
    await sink.append(auditRecord('answered'));
    const written = fs.readFileSync(path, 'utf8');
    const { seq, mac } = chain.parse(Buffer.from(written.trimEnd())) ?? { seq: 0, mac: '' };
    // The next record finds another file in its place, and opens it.
    fs.writeFileSync(
      `${path}.new`,
      `${written}${chain.lineAfter({ seq, mac }, auditRecord('refused')).line}\n`,
    );
    fs.renameSync(`${path}.new`, path);
    await sink.append(auditRecord('next'));
    await sink.close();
    expect(verdictOf(path)).toMatchObject({ records: 3, last: { seq: 3 }, faults: [] });
  });

  it('says at the start that its last records are missing, and the check finds the gap from then on', async () => {
    const { sink, path } = opened();
    for (let at = 1; at <= 5; at += 1) await sink.append(auditRecord(`${at}`));
    await sink.close();
    fs.writeFileSync(path, `${linesIn(path).slice(0, 3).join('\n')}\n`);
    expect(verdictOf(path).faults).toEqual([{ kind: 'truncated', file: 'audit.log.head', from: 4, to: 5 }]);
    const again = opened({ path });
    await again.sink.append(auditRecord('6'));
    await again.sink.close();
    expect(again.events).toContain('audit_records_missing');
    expect(verdictOf(path).faults).toEqual([{ kind: 'missing', file: 'audit.log', line: 4, from: 4, to: 5 }]);
  });

  it('says at the start that the file that remembers the end is missing, and nothing of a trail that begins', async () => {
    const { sink, path, events } = opened();
    await sink.append(auditRecord('one'));
    await sink.close();
    expect(events).not.toContain('audit_records_missing');
    fs.rmSync(`${path}.head`);
    const again = opened({ path });
    await again.sink.append(auditRecord('two'));
    await again.sink.close();
    expect(again.events).toContain('audit_records_missing');
    expect(verdictOf(path)).toMatchObject({ records: 2, last: { seq: 2 }, faults: [] });
  });

  it('says so too where the last line beside it is no record', async () => {
    const { sink, path } = opened();
    await sink.append(auditRecord('one'));
    await sink.close();
    fs.rmSync(`${path}.head`);
    fs.writeFileSync(path, 'no record\n');
    const again = opened({ path });
    await again.sink.append(auditRecord('two'));
    await again.sink.close();
    expect(again.events).toContain('audit_records_missing');
  });

  itWith('small disk', 'refuses records while the disk is full, and leaves none half written', async () => {
    const disk = new SmallDisk(1);
    try {
      const { sink, path } = opened({ path: join(disk.path, 'audit.log') });
      await sink.append(auditRecord('one'));
      disk.fill(0);
      const long = { ...auditRecord('two'), peer: 'x'.repeat(60_000) };
      await expect(sink.append(long)).rejects.toThrow('ENOSPC');
      await expect(sink.append(long)).rejects.toThrow('ENOSPC');
      disk.clear();
      await sink.append(auditRecord('three'));
      await sink.close();
      expect(verdictOf(path)).toMatchObject({ records: 2, last: { seq: 2 }, faults: [] });
    } finally {
      disk.remove();
    }
  });
});
