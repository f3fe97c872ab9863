import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { stringify } from 'yaml';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

const KEYS = { ACCESS_TOKEN_KEY: 'a'.repeat(64), USER_TOKEN_SECRET: 'u'.repeat(64) };
const OPS = ['CreateSecret?workspace=notes', 'RetrieveSecret?workspace=notes'];
const APP = { appKey: 'bytetrade_notes_1', appSecret: '0123456789abcdef' };
const WRONG = `$2b$10$${'a'.repeat(22)}${'b'.repeat(31)}`;
const NICENESS = 10;

/** Of each thread of a process, its niceness. */
function nicenesses(pid: number | undefined): number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // Behind the name, which may hold anything, in parentheses: the state is the third field, niceness the nineteenth.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

describe('the built process, with the embedded store, among proofs of apps', () => {
  const [apps, data] = [mkdtempSync(join(tmpdir(), 'apps-')), mkdtempSync(join(tmpdir(), 'data-'))];
  let service: ChildService;
  let headers: Record<string, string>;

  beforeAll(async () => {
    mkdirSync(join(apps, 'notes'));
    const sysData = [{ dataType: 'secret', group: 'secret.infisical', version: 'v1', ops: OPS }];
    const manifest = { 'olaresManifest.version': '0.10.0', 'olaresManifest.type': 'app', metadata: { name: 'notes', appid: 'notes' }, permission: { sysData } };
    writeFileSync(join(apps, 'notes/OlaresManifest.yaml'), stringify(manifest));
    writeFileSync(join(apps, 'notes/app.yaml'), JSON.stringify({ user: 'alice', ...APP }));
    service = await ChildService.start({
      NODE_ENV: 'production',
      PORT: '0',
      LOG_LEVEL: 'info',
      GRANTS_DIR: apps,
      DATA_DIR: data,
      MASTER_KEY: 'm'.repeat(64),
      RATE_LIMIT_APP_READS: '0',
      RATE_LIMIT_USER_READS: '0',
      ...KEYS,
    });
    headers = {
      'x-authorization': await userToken('alice', Date.now(), { key: Buffer.from(KEYS.USER_TOKEN_SECRET) }),
      'x-access-token': await accessToken('notes', 'alice', OPS, Date.now(), { key: Buffer.from(KEYS.ACCESS_TOKEN_KEY) }),
    };
    expect((await call('CreateSecret', { name: 'k', value: 'v' })).status).toBe(200);
  }); // prettier-ignore
  afterAll(async () => {
    await service.end();
    for (const folder of [apps, data]) rmSync(folder, { recursive: true });
  });

  const url = () => `http://127.0.0.1:${service.ports.main}`;
  const call = (operation: string, body: object) =>
    httpCall(`${url()}/${operation}?workspace=notes`, { headers, body });
  const nowS = () => Math.floor(Date.now() / 1000);
  const access = (from: string, appKey: string, token: string, timestamp = nowS()) =>
    httpCall(`${url()}/permission/v1alpha1/access`, {
      body: { app_key: appKey, timestamp, token, perm: { dataType: 'secret', group: 'secret.infisical', version: 'v1', ops: OPS } },
      from,
    }); // prettier-ignore
  const rightProof = async () => {
    const timestamp = nowS();
    const token = await hash(`${APP.appKey}${timestamp}${APP.appSecret}`, 10);
    return (await access('127.0.0.1', APP.appKey, token, timestamp)).body.code as unknown;
  };

  it('has no thread for them before the first one, and then those that give way to everybody else', async () => {
    expect(new Set(nicenesses(service.pid))).toEqual(new Set([0]));
    expect(await rightProof()).toBe(0);
    expect(nicenesses(service.pid).filter((nice) => nice === NICENESS)).toHaveLength(1);
    await Promise.all(Array.from({ length: 6 }, () => access('127.0.0.2', 'nobody', WRONG)));
    expect(nicenesses(service.pid).filter((nice) => nice === NICENESS)).toHaveLength(2);
  });

  it('reads at p50 in no more than three times its quiet time while they come without end from several addresses', async () => {
    let isFlooding = false;
    let isOver = false;
    const told = new Map<number, number>();
    const sender = async (from: string, appKey: string): Promise<void> => {
      while (!isOver) {
        await new Promise((resolve) => setTimeout(resolve, 40));
        if (!isFlooding) continue;
        const { status } = await access(from, appKey, WRONG);
        told.set(status, (told.get(status) ?? 0) + 1);
      }
    };
    const senders = Array.from({ length: 100 }, (_, i) =>
      sender(`127.0.1.${i % 4}`, i % 8 < 4 ? APP.appKey : `nobody_${i}`),
    );
    const readsMs = async (forMs: number): Promise<number[]> => {
      const untilMs = performance.now() + forMs;
      const each: number[] = [];
      while (performance.now() < untilMs) {
        const beganMs = performance.now();
        expect((await call('RetrieveSecret', { name: 'k' })).status).toBe(200);
        each.push(performance.now() - beganMs);
      }
      return each;
    };
    await readsMs(500);
    const [quiet, flooded]: [number[], number[]] = [[], []];
    for (let round = 0; round < 3; round += 1) {
      quiet.push(...(await readsMs(1_000)));
      isFlooding = true;
      await readsMs(500);
      flooded.push(...(await readsMs(1_500)));
      isFlooding = false;
    }
    isOver = true;
    const p50 = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1] ?? NaN;
    const [quietMs, floodedMs] = [p50(quiet), p50(flooded)];
    expect(told.get(429)).toBeGreaterThan(0);
    expect(floodedMs / quietMs).toBeLessThan(3);
    // What was in line at the end goes away with its own time.
    await Promise.all(senders);
    expect(await rightProof()).toBe(0);
  }, 60_000);

  it('ends at a SIGTERM with nothing left over', async () => {
    expect(await service.end()).toBe(0);
    await eventually(() => expect(() => readdirSync(`/proc/${service.pid}/task`)).toThrow('ENOENT'));
  });
});
