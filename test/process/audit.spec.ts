import {
  appendFileSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { AuditChain, CHAIN_BEGIN } from '../../src/audit/audit-chain';
import { auditRecord } from '../conformance/audit-sink.conformance';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import { httpCall } from '../support/http-call';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const KEY = 'k'.repeat(32);
const CLI = resolve(__dirname, '../../dist/cli/audit.js');

describe('the audit trail of a service that is killed', () => {
  const root = mkdtempSync(join(tmpdir(), 'audit-'));
  const path = join(root, 'trail', 'audit.log');
  afterAll(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'apps'));
  const env = {
    PORT: '0',
    LOG_FORMAT: 'json',
    NODE_ENV: 'production',
    GRANTS_DIR: join(root, 'apps'),
    DATA_DIR: join(root, 'data'),
    MASTER_KEY: KEY,
    USER_TOKEN_SECRET: KEY,
    ACCESS_TOKEN_KEY: KEY,
    AUDIT: 'file',
    AUDIT_KEY: KEY,
    AUDIT_FILE: path,
    AUDIT_DURABILITY: 'fsync',
  };
  const verify = () =>
    spawnSync(process.execPath, [CLI, 'verify', path], { env: { AUDIT_KEY: KEY }, encoding: 'utf8' });

  it('has a record of every request that was answered, and goes on with its chain after the restart', async () => {
    const answered: string[] = [];
    for (const round of [1, 2]) {
      const service = await ChildService.start(env);
      const url = `http://127.0.0.1:${service.ports.main}/ListSecret?workspace=notes`;
      let killed = false;
      const calls = Array.from({ length: 8 }, async (_, caller) => {
        for (let at = 0; !killed; at += 1) {
          const id = `round-${round}-${caller}-${at}`;
          // A stranger's refusals are only counted beyond some at one address.
          const from = `127.0.${caller + 1}.${1 + (Math.floor(at / 25) % 100)}`;
          const call = { headers: { 'x-request-id': id }, body: {}, from };
          const answer = await httpCall(url, call).catch(() => undefined);
          if (answer?.status === 401) answered.push(id);
        }
      });
      const before = answered.length;
      await eventually(() => expect(answered.length).toBeGreaterThan(before + 100));
      process.kill(service.pid ?? 0, 'SIGKILL');
      killed = true;
      await Promise.all(calls);
    }
    const text = readFileSync(path, 'utf8');
    expect(answered.filter((id) => !text.includes(`"requestId":"${id}"`))).toEqual([]);
    // A restart removes what the kill left unfinished.
    const service = await ChildService.start(env);
    await httpCall(`http://127.0.0.1:${service.ports.main}/ListSecret?workspace=notes`, { body: {} });
    await service.end();
    expect(verify()).toMatchObject({ status: 0, stdout: expect.stringContaining('The trail is whole.') });
    expect(text).not.toContain(KEY);
  });
});

describe('a service whose audit trail takes no records', () => {
  const root = mkdtempSync(join(tmpdir(), 'audit-'));
  const [trail, away] = [join(root, 'trail'), join(root, 'away')];
  const path = join(trail, 'audit.log');
  const grants = new GrantsFolder([OTMOICLP]);
  afterAll(() => {
    grants.dispose();
    rmSync(root, { recursive: true });
  });
  const env = {
    PORT: '0',
    LOG_FORMAT: 'json',
    NODE_ENV: 'production',
    GRANTS_DIR: grants.dir,
    DATA_DIR: join(root, 'data'),
    MASTER_KEY: KEY,
    USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
    ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
    AUDIT_KEY: KEY,
    AUDIT_DEADLINE_MS: '1000',
    RATE_LIMIT_APP_WRITES: '0',
    RATE_LIMIT_APP_READS: '0',
    RATE_LIMIT_USER_WRITES: '0',
    RATE_LIMIT_USER_READS: '0',
  };
  const callerOf = async (service: ChildService) => {
    const headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, Date.now()),
    };
    return async (operation: string, body: object) => {
      const url = `http://127.0.0.1:${service.ports.main}/${operation}?workspace=otmoic`;
      const { status, body: answer } = await httpCall(url, { headers, body });
      return [status, (answer as { data?: { reason?: string } | null }).data?.reason];
    };
  };
  const UNAVAILABLE = [503, 'AUDIT_UNAVAILABLE'];

  it('refuses reads and writes while its folder cannot be written to, does not carry them out, and serves again without a restart', async () => {
    const service = await ChildService.start({ ...env, AUDIT: 'file', AUDIT_FILE: path });
    const call = await callerOf(service);
    expect(await call('CreateSecret', { name: 'before', value: 'v' })).toEqual([200, undefined]);
    renameSync(trail, away);
    writeFileSync(trail, '');
    expect(await call('CreateSecret', { name: 'meanwhile', value: 'v' })).toEqual(UNAVAILABLE);
    expect(await call('RetrieveSecret', { name: 'before' })).toEqual(UNAVAILABLE);
    rmSync(trail);
    renameSync(away, trail);
    await eventually(async () =>
      expect(await call('RetrieveSecret', { name: 'before' })).toEqual([200, undefined]),
    );
    expect(await call('RetrieveSecret', { name: 'meanwhile' })).toEqual([404, 'SECRET_NOT_FOUND']);
    expect(await service.end()).toBe(0);
    const verified = spawnSync(process.execPath, [CLI, 'verify', path], {
      env: { AUDIT_KEY: KEY },
      encoding: 'utf8',
    });
    expect(verified).toMatchObject({ status: 0, stdout: expect.stringContaining('The trail is whole.') });
  });

  it('refuses reads and writes while its file system hangs, and goes on with all else', async () => {
    const hanging = join(root, 'hanging', 'audit.log');
    const service = await ChildService.start({ ...env, AUDIT: 'file', AUDIT_FILE: hanging });
    const call = await callerOf(service);
    const probe = async () => {
      const url = `http://127.0.0.1:${service.ports.main}/livez`;
      return (await httpCall(url, { method: 'GET' })).status;
    };
    expect(await call('CreateSecret', { name: 'hung', value: 'v' })).toEqual([200, undefined]);
    await eventually(() => void readFileSync(`${hanging}.head`));
    // Whoever opens a pipe to write to it waits until somebody opens it to read, as for a server of files that is away.
    rmSync(`${hanging}.head`);
    expect(spawnSync('mkfifo', [`${hanging}.head`]).status).toBe(0);
    await eventually(async () => expect(await call('RetrieveSecret', { name: 'hung' })).toEqual(UNAVAILABLE));
    for (const operation of ['RetrieveSecret', 'DeleteSecret']) {
      expect(await call(operation, { name: 'hung' })).toEqual(UNAVAILABLE);
      expect(await probe()).toBe(200);
    }
    const reader = openSync(`${hanging}.head`, constants.O_RDONLY | constants.O_NONBLOCK);
    rmSync(`${hanging}.head`);
    await eventually(async () =>
      expect(await call('RetrieveSecret', { name: 'hung' })).toEqual([200, undefined]),
    );
    closeSync(reader);
    expect(await service.end()).toBe(0);
    const verified = spawnSync(process.execPath, [CLI, 'verify', hanging], {
      env: { AUDIT_KEY: KEY },
      encoding: 'utf8',
    });
    expect(verified).toMatchObject({ status: 0, stdout: expect.stringContaining('The trail is whole.') });
  });

  it('refuses reads and writes while nobody reads its standard output, does not carry them out, and serves again when it is read', async () => {
    const service = await ChildService.start({ ...env, AUDIT: 'stdout' });
    const call = await callerOf(service);
    expect(await call('CreateSecret', { name: 'piped', value: 'v' })).toEqual([200, undefined]);
    service.readOutput(false);
    await eventually(
      async () => expect(await call('RetrieveSecret', { name: 'piped' })).toEqual(UNAVAILABLE),
      30_000,
    );
    expect(await call('DeleteSecret', { name: 'piped' })).toEqual(UNAVAILABLE);
    service.readOutput(true);
    await eventually(async () =>
      expect(await call('RetrieveSecret', { name: 'piped' })).toEqual([200, undefined]),
    );
    expect(await service.end()).toBe(0);
  });
});

describe('audit verify-value', () => {
  const root = mkdtempSync(join(tmpdir(), 'audit-value-'));
  const path = join(root, 'audit.log');
  afterAll(() => rmSync(root, { recursive: true }));
  const place = { user: 'alice', workspace: 'notes', environment: 'prod', name: 'token' };
  const chain = new AuditChain(Buffer.from(KEY));
  const written = { ...auditRecord(place.name), ...place, valueMac: chain.valueMac(place, 'canary-value') };
  const first = chain.lineAfter(CHAIN_BEGIN, written);
  writeFileSync(path, `${first.line}\n${chain.lineAfter(first.end, auditRecord('read')).line}\n`);
  const ask = (seq: string, value: string, key = KEY) =>
    spawnSync(process.execPath, [CLI, 'verify-value', seq, path], {
      env: { AUDIT_KEY: key },
      input: value,
      encoding: 'utf8',
    });

  it('tells the value that a record wrote from another, and shows neither', () => {
    expect(ask('1', 'canary-value')).toMatchObject({
      status: 0,
      stdout: 'It is the value that was written.\n',
    });
    expect(ask('1', 'canary-other')).toMatchObject({ status: 1, stdout: 'It is another value.\n' });
  });

  it('says so where the record has no value, is not there, or was made with another key', () => {
    expect(ask('2', 'canary-value')).toMatchObject({ status: 2, stdout: '' });
    expect(ask('3', 'canary-value')).toMatchObject({ status: 2, stdout: '' });
    expect(ask('1', 'canary-value', 'x'.repeat(32))).toMatchObject({ status: 2, stdout: '' });
  });
});

describe('audit verify', () => {
  const root = mkdtempSync(join(tmpdir(), 'audit-verify-'));
  const path = join(root, 'audit.log');
  const head = `${path}.head`;
  afterAll(() => rmSync(root, { recursive: true }));
  const chain = new AuditChain(Buffer.from(KEY));
  const { line, end } = chain.lineAfter(CHAIN_BEGIN, auditRecord('one'));
  const verify = (...files: string[]) =>
    spawnSync(process.execPath, [CLI, 'verify', ...files], { env: { AUDIT_KEY: KEY }, encoding: 'utf8' });

  it('calls no trail whole whose end nothing tells, and says so', () => {
    for (const text of [`${line}\n`, '']) {
      writeFileSync(path, text);
      rmSync(head, { force: true });
      const { status, stdout } = verify(path);
      expect([status, stdout]).toEqual([1, expect.stringContaining(`There is no ${head}: records that are missing at the end are not noticed.`)]); // prettier-ignore
      expect(stdout).not.toContain('whole');
      writeFileSync(head, chain.headText(end));
      expect(verify(path, head).status).toBe(text === '' ? 1 : 0);
    }
    expect(verify(head)).toMatchObject({ status: 2, stdout: '' });
  });
});

describe('audit grep, tail and report', () => {
  const root = mkdtempSync(join(tmpdir(), 'audit-read-'));
  const path = join(root, 'audit.log');
  afterAll(() => rmSync(root, { recursive: true }));
  const line = (app: string, more: object = {}) => {
    const read = { ...auditRecord('token'), outcome: 'allowed', app, user: 'alice', workspace: 'notes', environment: 'prod' };
    return `{"audit":1,${JSON.stringify({ ...read, ...more }).slice(1)}\n`;
  }; // prettier-ignore
  const denied = { outcome: 'denied', reason: 'NOT_GRANTED', time: '2026-11-28T00:00:00.000Z' };
  writeFileSync(path, line('notes') + line('mail') + line('mail', denied));
  const run = (args: readonly string[], input = '') =>
    spawnSync(process.execPath, [CLI, ...args], { env: {}, input, encoding: 'utf8' });

  it('print what is asked for as text or as the lines that they are, also of standard input, without a key', () => {
    const asText =
      '2026-11-28T00:00:00.000Z denied NOT_GRANTED RetrieveSecret alice/mail notes/prod/token [token]\n';
    const filter = ['--app', 'mail', '--from', '2026-11-28'];
    expect(run(['grep', ...filter, path])).toMatchObject({ status: 0, stdout: asText, stderr: '' });
    const piped = readFileSync(path, 'utf8');
    expect(run(['grep', '--json', ...filter, '-'], piped).stdout).toBe(line('mail', denied));
    expect(run(['tail', '--lines', '1', path]).stdout).toBe(asText);
    const report = JSON.parse(run(['report', '--json', path]).stdout);
    expect(report).toMatchObject({ records: 3, outcomes: { allowed: 2, denied: 1 } });
    expect(report.sharedWorkspaces).toEqual([{ user: 'alice', workspace: 'notes', apps: ['mail', 'notes'] }]);
    const held = join(root, 'held');
    writeFileSync(held, 'alice notes ListSecret?workspace=notes\n');
    const text = run(['report', '--days', '30', '--grants', held, path]).stdout;
    expect(text).toContain(
      'Grants that were not used within 30 days (user, app, grant, last use): 1\n  alice  notes  ListSecret?workspace=notes  never\n',
    );
  });

  it('print nothing that a terminal obeys, whatever somebody wrote into the file', () => {
    const obeyed = '\u001b[2J\u0007\u007f\u009b2J\u202e\u2066';
    const time = `2026-11-27 10:00 (${obeyed})`;
    const texts = { time, event: obeyed, reason: obeyed, operation: obeyed, app: obeyed, user: obeyed, administrator: obeyed, provenBy: [obeyed], peer: obeyed, workspace: obeyed, environment: obeyed, name: obeyed, requestId: obeyed };
    const used = { ...texts, event: 'outcome', outcome: 'allowed', operation: 'ListSecret', grants: [obeyed], approved: [obeyed] };
    const records = [texts, used, { ...used, app: `2${obeyed}` }, { ...used, outcome: obeyed }, { ...texts, event: 'suppressed', refusals: { [`a ${obeyed} b`]: 1 } }];
    // Edited by hand: a return between two fields. JSON may have some of the characters as they are, and the mac of `verify` is read without it.
    const lines = records.map((record) => `{"audit":1,\r${JSON.stringify(record).slice(1)}`);
    const forged = join(root, `forged.log.${obeyed}`);
    writeFileSync(forged, [...lines, `{"audit":1,"seq":1,"prev":"-","x":1,"mac":"${obeyed.padEnd(43)}"}`].join('\n').concat('\n'));
    const verified = spawnSync(process.execPath, [CLI, 'verify', forged], { env: { AUDIT_KEY: KEY }, encoding: 'utf8' });
    const printed = [['grep', forged], ['grep', '--json', forged], ['tail', forged], ['tail', '--json', forged], ['report', forged], ['report', '--json', forged]].map((args) => run(args));
    for (const { stdout, stderr } of [verified, ...printed]) {
      expect(stdout.length).toBeGreaterThan(300);
      expect(stdout + stderr).not.toMatch(/(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
    }
  }); // prettier-ignore

  it.each([
    ['grep'],
    ['grep', '--outcome', 'maybe', path],
    ['grep', '--from', 'soon', path],
    ['tail', '--lines', 'x', path],
    ['report', '--days', '-1', path],
    ['grep', '--any', path],
    ['tail', path, path],
  ])('say how they are used: %s %s %s', (...args) => {
    expect(run(args)).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringContaining('The command is one of'),
    });
  });

  it('end quietly where their reader has read enough', async () => {
    const many = join(root, 'many.log');
    writeFileSync(many, line('notes').repeat(50_000));
    const result = spawnSync(
      'sh',
      ['-c', `"${process.execPath}" "${CLI}" grep "${many}" | head -n 1 | wc -l`],
      { encoding: 'utf8' },
    );
    expect([result.stdout.trim(), result.stderr]).toEqual(['1', '']);
  });

  it('end with exit code 2 and a sentence where standard output is full', () => {
    const full = openSync('/dev/full', 'w');
    const stdio = ['ignore', full, 'pipe'] as const;
    const result = spawnSync(process.execPath, [CLI, 'grep', path], { stdio: [...stdio], encoding: 'utf8' });
    closeSync(full);
    expect([result.status, result.stderr]).toEqual([2, 'audit: standard output cannot be written\n']);
  });

  it('follow a file until they are ended', async () => {
    const child = spawn(process.execPath, [CLI, 'tail', '--follow', '--lines', '0', path], { env: {} });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await eventually(() => {
      appendFileSync(path, line('later'));
      expect(text).toContain('alice/later');
    });
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
