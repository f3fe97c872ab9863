import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect } from 'node:net';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import fc from '../support/fast-check';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const IS_LONG = process.env['LONG_TESTS'] === 'true';
/** How many writes are acknowledged for each store and durability. */
const WRITES = IS_LONG ? 500 : 80;
const KILLS = IS_LONG ? 20 : 2;
const CLI = resolve(__dirname, '../../dist/cli/audit.js');
const AUDIT_KEY = 'k'.repeat(32);

const root = mkdtempSync(join(tmpdir(), 'crash-'));
const apps = join(root, 'apps');
cpSync(resolve(__dirname, '../../examples/apps'), apps, { recursive: true });
const { app, appKey, appSecret, ops } = OTMOICLP;
writeFileSync(join(apps, 'otmoiclp/app.yaml'), JSON.stringify({ user: 'alice', appKey, appSecret }));
let fake: FakeInfisical;
beforeEach(async () => {
  fake = await FakeInfisical.start({ apiVersion: 'v3' });
});
afterEach(() => fake.close());
afterAll(() => rmSync(root, { recursive: true }));

const STORES: Readonly<Record<string, (dir: string) => Record<string, string>>> = {
  embedded: (dir) => ({ DATA_DIR: join(dir, 'data'), MASTER_KEY: AUDIT_KEY }),
  infisical: () => ({
    INFISICAL_URL: fake.url,
    INFISICAL_CLIENT_ID: fake.identity.clientId,
    INFISICAL_CLIENT_SECRET: fake.identity.clientSecret,
  }),
};
const settings = (store: string, dir: string, durability: string) => ({
  NODE_ENV: 'production',
  PORT: '0',
  GRANTS_DIR: apps,
  USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
  ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
  RATE_LIMIT_APP_WRITES: '0',
  RATE_LIMIT_USER_WRITES: '0',
  AUDIT: 'file',
  AUDIT_KEY,
  AUDIT_FILE: join(dir, 'trail/audit.log'),
  AUDIT_DURABILITY: durability,
  ...STORES[store]?.(dir),
});

interface Round {
  readonly env: Record<string, string>;
  readonly headers: Record<string, string>;
}

/** Writes until it is killed. Returns the ids of what was answered; `stored` has the last acknowledged version of each name. */
async function writeUntilKilled(
  { env, headers }: Round,
  stored: Map<string, number>,
  writes: number,
  turn: number,
): Promise<readonly string[]> {
  const service = await ChildService.start(env);
  const agent = new Agent({ keepAlive: true });
  const url = (operation: string) => `http://127.0.0.1:${service.ports.main}/${operation}?workspace=otmoic`;
  const answered: string[] = [];
  let killed: Promise<void> | undefined;
  const writer = async (number: number): Promise<void> => {
    const name = `s${number}`;
    for (let version = (stored.get(name) ?? -1) + 1; killed === undefined; version++) {
      const id = `${turn}-${name}-${version}`;
      const operation = version === 0 ? 'CreateSecret' : 'UpdateSecret';
      const body = { name, value: `${name}:${version}` };
      const call = { headers: { ...headers, 'x-request-id': id }, body, agent };
      const answer = await httpCall(url(operation), call).catch(() => undefined);
      if (answer === undefined) return;
      // The kill before took the answer, and not the secret.
      if (operation === 'CreateSecret' && answer.status === 409 && turn > 0) {
        stored.set(name, version);
        continue;
      }
      expect([operation, answer.status, answer.text.slice(0, 120)]).toEqual([
        operation,
        200,
        expect.any(String),
      ]);
      answered.push(id);
      stored.set(name, version);
      if (answered.length >= writes) killed ??= service.kill();
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)));
  await killed;
  agent.destroy();
  return answered;
}

/** The gate has each store and each durability once. */
const KILLED = IS_LONG
  ? Object.keys(STORES).flatMap((store) => ['os', 'fsync'].map((durability) => [store, durability] as const))
  : ([
      ['embedded', 'fsync'],
      ['infisical', 'os'],
    ] as const);

it.each(KILLED)(
  `after kills at random points of ${WRITES} writes on %s, audited with durability %s, every acknowledged write is stored and recorded`,
  async (store, durability) => {
    const dir = join(root, `${store}-${durability}`);
    const headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken(app, 'alice', ops, Date.now()),
    };
    const round: Round = { env: settings(store, dir, durability), headers };
    const stored = new Map<string, number>();
    const answered: string[] = [];
    const points = fc.sample(fc.integer({ min: 1, max: (2 * WRITES) / KILLS - 1 }), KILLS);
    for (const [turn, writes] of points.entries())
      answered.push(...(await writeUntilKilled(round, stored, writes, turn)));
    const service = await ChildService.start(round.env);
    const list = await httpCall(`http://127.0.0.1:${service.ports.main}/ListSecret?workspace=otmoic`, {
      headers,
      body: {},
    });
    await service.end();
    const found = new Map(
      (list.body.data as { name: string; value: string }[]).map(({ name, value }) => [name, value]),
    );
    for (const [name, version] of stored) {
      // The write after the last acknowledged one may have been stored too.
      expect([`${name}:${version}`, `${name}:${version + 1}`]).toContain(found.get(name));
    }
    const trail = readdirSync(join(dir, 'trail'))
      .filter((file) => !file.endsWith('.head'))
      .map((file) => join(dir, 'trail', file));
    const verified = spawnSync(process.execPath, [CLI, 'verify', ...trail], {
      env: { AUDIT_KEY },
      encoding: 'utf8',
    });
    expect(verified.stdout).toContain('The trail is whole.');
    const records = trail
      .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n'))
      .map((line) => JSON.parse(line) as { requestId: string; outcome?: string });
    const recorded = new Set(
      records.filter(({ outcome }) => outcome === 'allowed').map(({ requestId }) => requestId),
    );
    expect(answered.filter((id) => !recorded.has(id))).toEqual([]);
    expect(answered.length).toBeGreaterThanOrEqual(points.reduce((sum, writes) => sum + writes, 0));
    if (IS_LONG) {
      const lost = `figure: acknowledged writes lost by ${KILLS} kills, ${store}, ${durability} = 0 of ${answered.length}`;
      process.stdout.write(`${lost}\n`);
    }
  },
  300_000,
);

it('without a descriptor left the service lives, records what it answers, and serves again by itself when connections end', async () => {
  const dir = join(root, 'descriptors');
  const service = await ChildService.start(
    { ...settings('embedded', dir, 'os'), METRICS_PORT: '0' },
    { maxDescriptors: 96 },
  );
  const url = `http://127.0.0.1:${service.ports.main}/CreateSecret?workspace=otmoic`;
  const headers = {
    'x-authorization': await userToken('alice', Date.now()),
    'x-access-token': await accessToken(app, 'alice', ops, Date.now()),
  };
  const create = (name: string) =>
    httpCall(url, {
      headers,
      body: { name, value: 'v'.repeat(200_000) },
      signal: AbortSignal.timeout(5_000),
    }).then(
      ({ status }) => status,
      () => undefined,
    );
  expect(await create('before')).toBe(200);
  const sockets = await Promise.all(
    Array.from({ length: 150 }, async () => {
      const socket = connect(service.ports.main, '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise((settled) => socket.once('connect', settled).once('close', settled));
      return socket;
    }),
  );
  const during: (number | undefined)[] = [];
  for (let i = 0; i < 4; i++) during.push(await create(`during${i}`));
  // Whatever is answered is true: stored, or refused as documented.
  for (const status of during) expect([200, 429, 503, undefined]).toContain(status);
  for (const socket of sockets) socket.destroy();
  await eventually(async () => expect(await create(`after${Date.now()}`)).toBe(200), 20_000);
  for (const [i, status] of during.entries()) {
    if (status === 200) expect(await create(`during${i}`)).toBe(409);
  }
  expect(service.output).not.toContain('EMFILE');
  expect(await service.end()).toBe(0);
}, 60_000);
