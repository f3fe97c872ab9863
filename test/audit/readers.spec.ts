import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditChain } from '../../src/audit/audit-chain';
import { FileAuditSink } from '../../src/audit/file.audit-sink';
import { rotatedFilesOf } from '../../src/audit/audit-files';
import {
  FollowedFile,
  oldestFirst,
  type RecordFilter,
  recordsIn,
  type SeenRecord,
  textOf,
} from '../../src/cli/audit-records';
import { AuditReport, reportLines } from '../../src/cli/audit-report';
import { auditRecord } from '../conformance/audit-sink.conformance';
import { FixedClock } from '../support/fixed-clock';

const root = fs.mkdtempSync(join(tmpdir(), 'audit-readers-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
let made = 0;

function fileOf(lines: readonly (object | string)[]): string {
  const path = join(root, `file-${(made += 1)}`);
  fs.writeFileSync(path, lines.map((line) => (typeof line === 'string' ? line : `{"audit":1,${JSON.stringify(line).slice(1)}`)).map((line) => `${line}\n`).join('')); // prettier-ignore
  return path;
}

const DAY_MS = 86_400_000;
const day = (days: number): string => new Date(Date.UTC(2026, 0, 1) + days * DAY_MS).toISOString();
const read = (more: Partial<SeenRecord> = {}): SeenRecord => ({
  time: day(0),
  requestId: 'r',
  event: 'outcome',
  outcome: 'allowed',
  operation: 'RetrieveSecret',
  app: 'notes',
  user: 'alice',
  workspace: 'ws',
  environment: 'prod',
  name: 'key',
  grants: ['RetrieveSecret?workspace=ws'],
  ...more,
});

describe('the records of audit files that are asked for', () => {
  const file = fileOf([
    read(),
    '{"level":"info","msg":"\\"audit\\":1"}',
    read({ time: day(1), app: 'mail', name: 'other' }),
    '{"audit":1,"time":5,"operation":"x"}',
    '{"audit":1,"broken',
    read({ time: day(2), outcome: 'denied', reason: 'NOT_GRANTED', user: 'bob' }),
    { time: day(3), event: 'outcome', outcome: 'denied', operation: 'IssueAccessToken', claimedApp: 'mail', claimedUser: 'bob' },
    { time: day(4), event: 'outcome', outcome: 'allowed', operation: 'ListAppSecrets', app: 'x', user: 'carol', administrator: 'bob', workspaces: ['a', 'ws'] },
  ]); // prettier-ignore
  const found = (filter: RecordFilter) => [...recordsIn([file], filter)].map(({ record }) => record.time);

  it.each<[string, RecordFilter, number[]]>([
    ['all', {}, [0, 1, 2, 3, 4]],
    ['an app, also where it was only claimed', { app: 'mail' }, [1, 3]],
    ['a user, also as administrator and where only claimed', { user: 'bob' }, [2, 3, 4]],
    ['a workspace, also as one of several', { workspace: 'ws' }, [0, 1, 2, 4]],
    ['a name', { name: 'other' }, [1]],
    ['an operation', { operation: 'IssueAccessToken' }, [3]],
    ['an outcome', { outcome: 'denied' }, [2, 3]],
    ['a time, without its end', { fromMs: Date.parse(day(1)), toMs: Date.parse(day(3)) }, [1, 2]],
    ['several of these', { app: 'notes', outcome: 'denied' }, [2]],
    ['nobody', { app: 'not' }, []],
  ])('are those of %s', (_what, filter, days) => {
    expect(found(filter)).toEqual(days.map(day));
  });

  it('are read one line at a time, and no line is held beyond the size of a record', () => {
    const long = fileOf(['x'.repeat(5_000_000), read({ name: 'after' })]);
    expect([...recordsIn([long], {})].map(({ record }) => record.name)).toEqual(['after']);
  });

  it('are shown as text without anything that a terminal could act upon', () => {
    const text = textOf(read({ time: day(0), name: 'a\u001b[2Jb', provenBy: ['user_token', 'access_token'], peer: '10.0.0.7' })); // prettier-ignore
    expect(text).toBe(
      `${day(0)} allowed RetrieveSecret alice/notes ws/prod/"a\\u001b[2Jb" from 10.0.0.7 by user_token,access_token [r]`,
    );
    expect(textOf({ time: day(0), operation: 'IssueAccessToken', event: 'outcome', outcome: 'denied', claimedApp: 'mail', claimedUser: 'bob' })) // prettier-ignore
      .toBe(`${day(0)} denied IssueAccessToken claimed bob/mail -`);
    const escape = '\u001b[2J';
    const forged = { time: `${day(0)} (${escape})`, outcome: escape, reason: escape, operation: escape };
    for (const event of ['outcome', escape])
      expect(textOf(read({ ...forged, event } as Partial<SeenRecord>))).not.toContain('\u001b');
    expect(textOf(read({ name: '\u009b2J\u202e' }))).toContain('"\\u009b2J\\u202e"');
  });

  it('lack what is of another type than a record has it, and hide none behind them', () => {
    const edited = { time: day(0), operation: 'y', app: 5, workspaces: 'z', grants: 3, approved: [4], provenBy: {}, refusals: null, event: 'suppressed' };
    const found = [...recordsIn([fileOf([edited, { ...edited, refusals: { x: 'y' } }, read({ time: day(1) })])], {})];
    const left = { time: day(0), operation: 'y', event: 'suppressed' };
    expect(found.map(({ record }) => record)).toEqual([left, left, read({ time: day(1) })]);
    const report = new AuditReport(30);
    for (const { record } of found) report.add(record);
    expect(found.map(({ record }) => textOf(record))).toHaveLength(3);
    expect(report.summary()).toMatchObject({ records: 3, outcomes: { allowed: 1 } });
  }); // prettier-ignore

  it('come from rotated files before the file that they belong to', () => {
    const [a, b] = ['/x/audit.log.000000000000001', '/x/audit.log.000000000000901'];
    expect(oldestFirst(['/x/audit.log', b, a])).toEqual([a, b, '/x/audit.log']);
  });
});

describe('the report of an audit trail', () => {
  const summaryOf = (records: readonly SeenRecord[], days = 30) => {
    const report = new AuditReport(days);
    report.holds('alice', 'idle', 'ListSecret?workspace=idle');
    for (const record of records) report.add(record);
    return report.summary();
  };

  it('names grants that nobody used for so many days: held, issued, approved or used long ago, and not revoked', () => {
    const { unusedGrants } = summaryOf([
      read({ app: 'old', grants: ['RetrieveSecret?workspace=old'] }),
      read({ time: day(1), operation: 'IssueAccessToken', app: 'issued', grants: ['ListSecret?workspace=ws', 'DeleteSecret?workspace=ws'] }),
      read({ time: day(2), operation: 'ApproveGrant', app: 'approved', grants: [], approved: ['ListSecret?workspace=w'] }),
      read({ time: day(2), operation: 'ApproveGrant', app: 'revoked', grants: [], approved: ['ListSecret?workspace=w'] }),
      read({ time: day(3), operation: 'RevokeGrant', app: 'revoked', workspace: 'w', grants: [] }),
      read({ time: day(90), operation: 'ListSecret', app: 'issued', grants: ['ListSecret?workspace=ws'] }),
      read({ time: day(91), outcome: 'denied', reason: 'NOT_GRANTED', app: 'old', grants: ['RetrieveSecret?workspace=old'] }),
    ]); // prettier-ignore
    expect(unusedGrants).toEqual([
      { user: 'alice', app: 'approved', grant: 'ListSecret?workspace=w' },
      { user: 'alice', app: 'idle', grant: 'ListSecret?workspace=idle' },
      { user: 'alice', app: 'issued', grant: 'DeleteSecret?workspace=ws' },
      { user: 'alice', app: 'old', grant: 'RetrieveSecret?workspace=old', lastUsed: day(0) },
    ]);
  });

  it('names workspaces that several apps of one user use', () => {
    const { sharedWorkspaces } = summaryOf([
      read(),
      read({ app: 'mail' }),
      read({ app: 'mail', user: 'bob' }),
      read({ app: 'other', outcome: 'denied', reason: 'NOT_GRANTED' }),
    ]);
    expect(sharedWorkspaces).toEqual([{ user: 'alice', workspace: 'ws', apps: ['mail', 'notes'] }]);
  });

  it('counts refusals by reason, those that are only counted included', () => {
    const refusals = { 'ListSecret denied UNAUTHENTICATED': 40 };
    const summary = summaryOf([
      read({ outcome: 'denied', reason: 'UNAUTHENTICATED' }),
      read({ outcome: 'denied', reason: 'NOT_GRANTED', time: day(2) }),
      { time: day(3), event: 'suppressed', operation: 'Refusals', peer: '10.0.0.9', refusals },
    ]);
    expect(summary.refusals).toEqual([
      { reason: 'UNAUTHENTICATED', outcome: 'denied', count: 41, last: day(3) },
      { reason: 'NOT_GRANTED', outcome: 'denied', count: 1, last: day(2) },
    ]);
    expect(summary.outcomes).toEqual({ denied: 42 });
  });

  it('says when an app read a secret first, the latest first; a list stands for all names', () => {
    const { firstReads } = summaryOf([
      read({ time: day(5) }),
      read({ time: day(1) }),
      read({ time: day(7), app: 'mail' }),
      read({ time: day(8), app: 'mail', outcome: 'failed', reason: 'SECRET_NOT_FOUND', name: 'no' }),
      read({ time: day(9), operation: 'ListSecret' }),
    ]);
    expect(firstReads.map(({ time, app, name }) => [time, app, name])).toEqual([
      [day(9), 'notes', '*'],
      [day(7), 'mail', 'key'],
      [day(1), 'notes', 'key'],
    ]);
  });

  it('holds a bounded number of names, and says which table is not whole', () => {
    const report = new AuditReport(30, 100);
    for (let at = 0; at < 150; at += 1) report.add(read({ name: `n${at}` }));
    const summary = report.summary();
    expect([summary.firstReads.length, summary.incomplete]).toEqual([100, ['readers']]);
    expect([...reportLines(summary, 2)]).toEqual(
      expect.arrayContaining(['  … and 98 more; --rows or --json shows them', 'The table of readers would be too large, and is not whole.']), // prettier-ignore
    );
  });
});

describe('a followed audit file', () => {
  it('has each record once and in order, over rotations, however many there are between two looks', async () => {
    const path = join(root, 'followed', 'audit.log');
    const options = {
      path,
      maxFileBytes: 1_500,
      maxFileAgeMs: 1e12,
      keptFiles: 0,
      durability: 'os',
    } as const;
    const deps = { clock: new FixedClock(Date.now()), log: () => undefined };
    const sink = new FileAuditSink(options, new AuditChain(Buffer.alloc(32, 7)), deps);
    const names: string[] = [];
    const append = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 1) {
        names.push(`record-${names.length}`);
        await sink.append(auditRecord(names.at(-1) ?? ''));
      }
    };
    await append(20);
    const before = names.length;
    const seen: string[] = [];
    const followed = new FollowedFile(path, (line) => seen.push(JSON.parse(line.toString()).name));
    followed.readOn();
    const begun = before - seen.length;
    for (const count of [1, 30, 2, 5, 0, 60]) {
      await append(count);
      followed.readOn();
    }
    await sink.close();
    expect(rotatedFilesOf(path).length).toBeGreaterThan(10);
    expect(seen).toEqual(names.slice(begun));
  });

  it('gives a line only once it is whole, and nothing twice where a batch was cut off again', () => {
    const path = fileOf([read({ name: 'a' })]);
    const seen: string[] = [];
    const followed = new FollowedFile(path, (line) => seen.push(JSON.parse(line.toString()).name));
    const { size } = fs.statSync(path);
    const [line = ''] = fs.readFileSync(path, 'utf8').split('\n');
    fs.appendFileSync(path, line.slice(0, 40));
    followed.readOn();
    fs.truncateSync(path, size);
    followed.readOn();
    fs.appendFileSync(path, `${line.replace('"a"', '"b"')}\n`);
    followed.readOn();
    expect(seen).toEqual(['a', 'b']);
  });
});
