import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { AuditChain, CHAIN_BEGIN } from '../../src/audit/audit-chain';
import { auditRecord } from '../conformance/audit-sink.conformance';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';

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
          const answer = await httpCall(url, { headers: { 'x-request-id': id }, body: {} }).catch(
            () => undefined,
          );
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
