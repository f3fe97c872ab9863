import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ChildService } from '../support/child-service';
import { describeWith } from '../support/describe-with';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall, type Answer } from '../support/http-call';
import { valueIn } from '../support/observed-service';
import { OTMOICLP } from '../support/example-apps';
import { RedisServer } from '../support/redis-server';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const PASSWORD = 'canary-redis-password';

/** Two built processes with warm caches that would serve what they read for a minute, if nobody told them better. */
describeWith('redis-server', 'two replicas in front of one Infisical', () => {
  const dir = mkdtempSync(join(tmpdir(), 'replicas-'));
  let fake: FakeInfisical;
  let redis: RedisServer;
  let services: readonly ChildService[] = [];
  let headers: Record<string, string>;

  beforeAll(async () => {
    cpSync(resolve(__dirname, '../../examples/apps'), join(dir, 'apps'), { recursive: true });
    writeFileSync(
      join(dir, 'apps/otmoiclp/app.yaml'),
      JSON.stringify({ user: 'alice', appKey: 'bytetrade_otmoiclp_1', appSecret: '0'.repeat(16) }),
    );
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    redis = await RedisServer.start({ password: PASSWORD });
    writeFileSync(join(dir, 'redis-url'), redis.url);
    const env = {
      NODE_ENV: 'production',
      PORT: '0',
      METRICS_PORT: '0',
      GRANTS_DIR: join(dir, 'apps'),
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: fake.identity.clientId,
      INFISICAL_CLIENT_SECRET: fake.identity.clientSecret,
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      CACHE_TTL_MS: '60000',
      RATE_LIMIT_APP_READS: '0',
      RATE_LIMIT_USER_READS: '0',
      RATE_LIMIT_USER_WRITES: '0',
      RATE_LIMIT_APP_WRITES: '0.1:150',
      REDIS_URL_FILE: join(dir, 'redis-url'),
    };
    services = await Promise.all([ChildService.start(env), ChildService.start(env)]);
    headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, Date.now()),
    };
    await Promise.all(services.map((service) => service.logs('redis_connected')));
    await create('KEY', '0');
  }, 60_000);
  afterAll(async () => {
    await Promise.all(services.map((service) => service.end()));
    for (const { output } of services) expect(output).not.toContain('canary');
    await redis.remove();
    await fake.close();
    rmSync(dir, { recursive: true });
  }, 30_000);

  async function call(replica: number, op: string, body: Record<string, string>): Promise<Answer> {
    const port = services[replica]?.ports.main;
    return httpCall(`http://127.0.0.1:${port}/${op}?workspace=otmoic`, { headers, body });
  }
  const create = (name: string, value: string, replica = 0) => call(replica, 'CreateSecret', { name, value });
  async function write(replica: number, value: string): Promise<number> {
    const answer = await call(replica, 'UpdateSecret', { name: 'KEY', value });
    expect(answer.status).toBe(200);
    return performance.now();
  }
  const read = async (replica: number): Promise<string> =>
    (await call(replica, 'RetrieveSecret', { name: 'KEY' })).body.data?.value;
  /** How long after the write's answer the other replica shows it, in milliseconds. */
  async function seenAfterMs(value: string): Promise<number> {
    const [writer, reader] = [Number(value) % 2, (Number(value) + 1) % 2];
    await read(reader);
    const writtenMs = await write(writer, value);
    for (;;) {
      if ((await read(reader)) === value) return performance.now() - writtenMs;
      if (performance.now() - writtenMs > 10_000) throw new Error('not seen');
    }
  }
  /** Expects a median of less than 100 ms, and each far from the seconds that a replica takes whom nobody tells. */
  async function expectSeenAtOnce(values: readonly number[]): Promise<void> {
    const eachMs: number[] = [];
    for (const value of values) eachMs.push(await seenAfterMs(`${value}`));
    eachMs.sort((a, b) => a - b);
    expect(eachMs[eachMs.length >> 1]).toBeLessThan(100);
    expect(eachMs.at(-1)).toBeLessThan(1_000);
  }
  const metric = async (series: string, replica = 0): Promise<number | undefined> => {
    const port = services[replica]?.ports.metrics;
    return valueIn((await httpCall(`http://127.0.0.1:${port}/metrics`, { method: 'GET' })).text, series);
  };
  const problems = async (): Promise<readonly string[]> => {
    const { status, body } = await httpCall(`http://127.0.0.1:${services[0]?.ports.main}/readyz`, { method: 'GET' }); // prettier-ignore
    expect(status).toBe(200);
    return body.data.problems as string[];
  };

  it('show at once what the other has written, though they read from memory', async () => {
    await expectSeenAtOnce(Array.from({ length: 20 }, (_, at) => 1 + at));
    const before = fake.count('GET');
    for (let i = 0; i < 20; i++) await read(i % 2);
    expect(fake.count('GET') - before).toBeLessThanOrEqual(1);
    expect(await metric('osp_redis_up')).toBe(1);
    expect(await problems()).toEqual([]);
  }, 30_000);

  it('let one of 50 creates of one name succeed, and store it once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => create('ONCE', `${i}`, i % 2)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 409]));
    const rows = fake.world.projects.flatMap(({ environments }) =>
      environments.flatMap(({ secrets }) => secrets),
    );
    expect(rows.filter(({ key }) => key === 'ONCE')).toHaveLength(1);
    // Ten updates and the create of KEY by this replica; creates that wait for one another share the outcome of one.
    expect(await metric('osp_scope_locks_total{outcome="held"}')).toBeGreaterThan(10);
  }, 30_000);

  it('show it within two seconds while Redis is gone, and say so; at once again when it is back', async () => {
    await redis.kill();
    expect(await seenAfterMs('100')).toBeLessThan(2_200);
    expect(await seenAfterMs('101')).toBeLessThan(1_300);
    expect([await metric('osp_redis_up', 0), await metric('osp_redis_up', 1)]).toEqual([0, 0]);
    expect(await metric('osp_scope_locks_total{outcome="alone"}')).toBeGreaterThan(0);
    expect(await problems()).toEqual([expect.stringMatching(/^Redis is not connected/)]);
    await redis.begin();
    await Promise.all(services.map((service) => service.logs('redis_connected', 2)));
    // Each must hear the other again.
    await new Promise((resolve) => setTimeout(resolve, 700));
    await expectSeenAtOnce(Array.from({ length: 9 }, (_, at) => 102 + at));
    for (const service of services) expect(service.lines('redis_lost')).toHaveLength(1);
  }, 30_000);

  it('go on while Redis hangs', async () => {
    const thaw = redis.freeze();
    const beganMs = performance.now();
    const seen = await seenAfterMs('200');
    expect(performance.now() - beganMs - seen).toBeLessThan(2_000);
    expect(seen).toBeLessThan(2_200);
    expect(await seenAfterMs('201')).toBeLessThan(1_300);
    thaw();
    await Promise.all(services.map((service) => service.logs('redis_connected', 3)));
  }, 30_000);

  it('give an app one budget between them', async () => {
    const statuses: number[] = [];
    for (let batch = 0; batch < 40; batch++) {
      const deletes = Array.from({ length: 10 }, (_, i) => call(i % 2, 'DeleteSecret', { name: 'NONE' }));
      statuses.push(...(await Promise.all(deletes)).map(({ status }) => status));
    }
    expect(new Set(statuses)).toEqual(new Set([404, 429]));
    const passed = statuses.filter((status) => status === 404).length;
    expect(passed).toBeGreaterThan(50);
    expect(passed).toBeLessThanOrEqual(155);
  }, 30_000);
});
