import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ChildService } from '../support/child-service';
import { OTMOICLP } from '../support/example-apps';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { SecretVault } from '../../src/client/index';
import { USER_TOKEN_SECRET, userToken } from '../support/tokens';

const WORKERS = 8;
const UPDATES = process.env['LONG_TESTS'] === 'true' ? 1_000 : 80;
const COUNT = UPDATES / WORKERS;

const dir = mkdtempSync(join(tmpdir(), 'concurrent-updates-'));
const keyFile = join(dir, 'access-token-key');
let keys = 0;
const rotateKey = () => writeFileSync(keyFile, Buffer.alloc(64, ++keys).toString('base64'));
let fake: FakeInfisical;
beforeAll(async () => {
  fake = await FakeInfisical.start({ apiVersion: 'v3' });
});
afterAll(async () => {
  await fake.close();
  rmSync(dir, { recursive: true });
});

const STORES: readonly (readonly [string, () => Record<string, string>])[] = [
  [
    'the embedded store',
    () => ({ DATA_DIR: join(dir, 'data'), MASTER_KEY: Buffer.alloc(32, 7).toString('base64') }),
  ],
  [
    'Infisical',
    () => ({
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: fake.identity.clientId,
      INFISICAL_CLIENT_SECRET: fake.identity.clientSecret,
    }),
  ],
];

/** Runs a process that adds its marks. @returns what it printed on standard error, which is nothing where all went well */
function addMarks(worker: number, env: Readonly<Record<string, string>>): Promise<string> {
  const child = spawn(process.execPath, [join(__dirname, 'update-worker.mjs')], {
    env: { ...env, WORKER: String(worker), COUNT: String(COUNT) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((ended) =>
    child.once('close', (code) => ended(code === 0 ? errors : `exit ${code}: ${errors}`)),
  );
}

it.each(STORES)(
  `eight processes make ${UPDATES} updates of one secret on %s while the service is killed, drained, limited and gets new keys, and none is lost`,
  async (name, storeSettings) => {
    const apps = join(dir, name, 'apps');
    mkdirSync(join(dir, name), { recursive: true });
    cpSync(resolve(__dirname, '../../examples/apps'), apps, { recursive: true });
    const { appKey, appSecret } = OTMOICLP;
    writeFileSync(join(apps, 'otmoiclp/app.yaml'), JSON.stringify({ user: 'alice', appKey, appSecret }));
    rotateKey();
    const settings = {
      NODE_ENV: 'production',
      METRICS_PORT: '0',
      GRANTS_DIR: apps,
      ACCESS_TOKEN_KEY_FILE: keyFile,
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      RATE_LIMIT_APP_WRITES: '300:100',
      RATE_LIMIT_APP_READS: '2000:1000',
      RATE_LIMIT_USER_WRITES: '0',
      RATE_LIMIT_USER_READS: '0',
      ...storeSettings(),
    };
    let service = await ChildService.start({ ...settings, PORT: '0' });
    const { main: port } = service.ports;
    const ended: ChildService[] = [];
    const restart = async (end: 'kill' | 'end') => {
      await service[end]();
      ended.push(service);
      service = await ChildService.start({ ...settings, PORT: String(port) });
    };
    const url = `http://127.0.0.1:${port}`;
    const token = await userToken('alice', Date.now());
    const vault = new SecretVault({ url, workspace: 'otmoic', appKey, appSecret, userToken: token });
    await vault.create('shared', '[]');
    const env = { URL: url, APP_KEY: appKey, APP_SECRET: appSecret, USER_TOKEN: token };
    let isDone = false;
    const workers = Promise.all(
      Array.from({ length: WORKERS }, (_, worker) => addMarks(worker, env)),
    ).finally(() => (isDone = true));
    const faults = [() => restart('kill'), () => restart('end'), async () => rotateKey()];
    for (let turn = 0; !isDone; turn++) {
      await Promise.race([workers, pause(UPDATES > 100 ? 1_500 : 600)]);
      if (!isDone && turn < 6) await faults[turn % faults.length]?.();
    }
    expect(await workers).toEqual(Array.from({ length: WORKERS }, () => ''));
    const marks = JSON.parse(await vault.retrieve('shared')) as string[];
    const expected = Array.from({ length: WORKERS }, (_, worker) =>
      Array.from({ length: COUNT }, (_mark, i) => `${worker}-${i}`),
    ).flat();
    expect([...marks].sort()).toEqual(expected.sort());
    process.stdout.write(`figure: updates lost of ${UPDATES} by ${WORKERS} processes, ${name} = 0\n`);
    await service.end();
    const tokens = [...ended, service].flatMap(
      ({ output }) => output.match(/permission\/v1alpha1\/access"/g) ?? [],
    );
    // One for each process, and one more after each new key; some are asked for twice where the service was killed meanwhile.
    expect(tokens.length).toBeLessThanOrEqual((WORKERS + 1) * (1 + keys) + 2 * WORKERS);
  },
  240_000,
);
