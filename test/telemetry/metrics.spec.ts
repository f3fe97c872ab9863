import { StoreUnavailable } from '../../src/errors/store-errors';
import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { METRIC_DEFINITIONS } from '../../src/telemetry/metric-definitions';
import { diskMetrics, limitMetrics } from '../../src/telemetry/metric-observers';
import { Metrics } from '../../src/telemetry/metrics';
import { EXAMPLE_APPS } from '../support/example-apps';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { ObservedService, seriesOf, valueIn } from '../support/observed-service';

const BODY = { name: 'canary-name', value: 'canary-value' };
const LIST = 'ListSecret?workspace=otmoic';

describe('the metrics', () => {
  const started: ObservedService[] = [];
  const start = async (...parts: Parameters<typeof ObservedService.start>): Promise<ObservedService> => {
    const one = await ObservedService.start(...parts);
    started.push(one);
    return one;
  };
  afterEach(async () => {
    await Promise.all(started.splice(0).map((one) => one.close()));
  });

  it('are served on a port of their own, which answers the probes too; the main port has none', async () => {
    const one = await start();
    const get = (base: string, path: string) => httpCall(`${base}/${path}`, { method: 'GET' });
    expect((await get(one.metricsUrl, 'metrics')).headers['content-type']).toContain('version=0.0.4');
    for (const probe of ['livez', 'readyz']) {
      const [here, there] = await Promise.all([get(one.metricsUrl, probe), get(one.service.url, probe)]);
      expect([here.status, here.body]).toEqual([200, there.body]);
    }
    expect((await get(one.service.url, 'metrics')).status).toBe(404);
    expect((await get(one.metricsUrl, 'other')).status).toBe(404);
    expect((await httpCall(`${one.metricsUrl}/${LIST}`, { body: {} })).status).toBe(404);
    expect((await httpCall(`${one.metricsUrl}/metrics`, { body: {} })).status).toBe(404);
  });

  it('have every defined metric, and no other of ours', async () => {
    const server = { host: 'redis', port: 6379, database: 0, tls: false };
    const cache = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 10, maxBytes: 1_000_000 };
    const settings = { ...IN_CLUSTER, redis: { server, keyPrefix: 'osp:' } };
    const registration = {
      start: () => undefined,
      problems: () => [],
      failing: () => new Map([['providerregistries', 2]]),
      close: () => Promise.resolve(),
    };
    const one = await start({ settings, cache, registration });
    const text = await one.scrape();
    expect(text).toContain('osp_registrations_failing{resource="providerregistries"} 2');
    const ours = [...text.matchAll(/^# TYPE (osp_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    const listed = Object.entries(METRIC_DEFINITIONS).map(([name, { type }]) => `${name} ${type}`);
    // Of the embedded store, in test/e2e/full-disk.spec.ts; of the audit trail, in test/e2e/audited-outcomes.spec.ts.
    expect([...ours, 'osp_disk_storable_bytes gauge', 'osp_audit_records_total counter'].sort()).toEqual(
      listed.sort(),
    );
    for (const name of ['process_resident_memory_bytes', 'process_start_time_seconds', 'nodejs_heap_size_used_bytes'])
      expect(text).toContain(`\n${name} `); // prettier-ignore
  });

  it('count each request once, by operation and documented code, in every style of answer', async () => {
    const one = await start({ settings: { responseStyle: 'sidecar' } });
    await one.call('CreateSecret?workspace=otmoic', BODY);
    await one.call('RetrieveSecret?workspace=otmoic', BODY);
    await one.call('RetrieveSecret?workspace=otmoic', { name: 'no-such' });
    await one.call(`system-server/v1alpha1/secret/secret.infisical/v1/${LIST}`, {});
    await one.call('no-such-route', {});
    await httpCall(`${one.service.url}/livez`, { method: 'GET' });
    for (const app_key of [EXAMPLE_APPS[0]!.appKey, 'nobody', undefined]) {
      const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: [LIST] };
      await one.call('permission/v1alpha1/access', { app_key, timestamp: 1, token: 'x', perm });
    }
    const text = await one.scrape();
    const counted = text.split('\n').filter((line) => line.startsWith('osp_requests_total'));
    expect(counted.sort()).toEqual([
      'osp_requests_total{op="CreateSecret",code="200"} 1',
      'osp_requests_total{op="ListSecret",code="200"} 1',
      'osp_requests_total{op="RetrieveSecret",code="400"} 1',
      'osp_requests_total{op="RetrieveSecret",code="404"} 1',
      'osp_requests_total{op="access",code="400"} 1',
      'osp_requests_total{op="access",code="401"} 2',
      'osp_requests_total{op="other",code="404"} 1',
    ]);
    expect(text).toContain('osp_request_duration_seconds_count{op="RetrieveSecret"} 2\n');
    expect(text).toContain('osp_denials_total{reason="UNAUTHENTICATED"} 2\n');
  });

  it('count denials by reason, from zero', async () => {
    const one = await start();
    expect(await one.value('osp_denials_total{reason="NOT_GRANTED"}')).toBe(0);
    await one.call('ListSecret?workspace=foreign', {});
    await httpCall(`${one.service.url}/${LIST}`, { body: {} });
    const text = await one.scrape();
    expect(text).toContain('osp_denials_total{reason="NOT_GRANTED"} 1\n');
    expect(text).toContain('osp_denials_total{reason="UNAUTHENTICATED"} 1\n');
    expect(text).toContain('osp_denials_total{reason="USER_MISMATCH"} 0\n');
  });

  it('show how Infisical answers: a refusal that is an answer is ok, a failure is named', async () => {
    const one = await start();
    await one.call('RetrieveSecret?workspace=otmoic', { name: 'no-such' });
    expect(await one.value('osp_infisical_api_version{api_version="v3"}')).toBe(1);
    expect(await one.value('osp_infisical_api_version{api_version="v4"}')).toBe(0);
    await one.call('CreateSecret?workspace=otmoic', BODY);
    one.fake.fail({
      method: 'GET',
      template: '/api/v3/secrets/raw',
      times: 99,
      fault: { kind: 'answer', status: 500, body: { statusCode: 500, error: 'x', message: 'x' } },
    });
    expect((await one.call(LIST, {})).status).toBe(503);
    const text = await one.scrape();
    const list = 'route="GET /api/v3/secrets/raw"';
    expect(text).toContain(`osp_upstream_calls_total{${list},outcome="serverFailure"} 1\n`);
    expect(text).toContain(`osp_upstream_duration_seconds_count{${list}} 1\n`);
    const outcomes = [...text.matchAll(/^osp_upstream_calls_total\{.*outcome="(\w+)"/gm)].map(([, o]) => o);
    expect(new Set(outcomes)).toEqual(new Set(['ok', 'serverFailure']));
    expect(text).toMatch(
      /^osp_upstream_calls_total\{route="GET \/api\/v2\/workspace\/\{slug\}",outcome="ok"\} \d/m,
    );
  });

  it('show when the session with Infisical ends, and nothing before there is one', async () => {
    const one = await start({ store: new MemorySecretStore() });
    expect(await one.value('osp_infisical_session_expires_seconds')).toBeUndefined();
    const other = await start();
    await other.scrape();
    const before = await other.value('osp_infisical_session_expires_seconds');
    expect(before).toBeGreaterThan(2_591_000);
    other.clock.advance(1_000_000);
    expect(await other.value('osp_infisical_session_expires_seconds')).toBeCloseTo((before ?? 0) - 1_000, -1);
  });

  it('show the calls that waited for the rate limits, and those that were refused', async () => {
    const users = Array.from({ length: 30 }, (_, at) => `user-${at}`);
    const apps = users.map((user) => ({ ...EXAMPLE_APPS[0]!, user, appKey: `key-of-${user}` }));
    const one = await start({ grantSource: new FixedGrantSource([...EXAMPLE_APPS, ...apps]) });
    const template = '/api/v2/workspace/{slug}';
    one.fake.fail({ method: 'GET', template, times: 99, fault: { kind: 'delay', ms: 30 } });
    // Before a limit is known, few are sent at once.
    await Promise.all(users.map(async (user) => one.call(LIST, {}, await one.headers(user))));
    await one.call('CreateSecret?workspace=otmoic', BODY);
    const answers = await Promise.all(Array.from({ length: 100 }, () => one.call(LIST, {})));
    expect(answers.map(({ status }) => status)).toContain(429);
    const text = await one.scrape();
    expect(valueIn(text, 'osp_infisical_calls_waiting')).toBe(0);
    expect(valueIn(text, 'osp_infisical_call_wait_seconds_count')).toBeGreaterThan(0);
    expect(valueIn(text, 'osp_infisical_calls_refused_total')).toBeGreaterThan(5);
    expect(valueIn(text, 'osp_infisical_writes{state="waiting"}')).toBe(0);
  });

  it('show the running writes and the waiting ones', async () => {
    const one = await start();
    await one.call('CreateSecret?workspace=otmoic', BODY);
    one.fake.fail({
      method: 'POST',
      template: '/api/v3/secrets/raw/{name}',
      times: 9,
      fault: { kind: 'delay', ms: 700 },
    });
    const writes = ['a', 'b', 'c'].map((name) =>
      one.call('CreateSecret?workspace=otmoic', { ...BODY, name }),
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    const text = await one.scrape();
    expect(text).toContain('osp_infisical_writes{state="waiting"} 2\n');
    expect(text).toContain('osp_infisical_writes{state="under_way"} 1\n');
    await Promise.all(writes);
    expect(await one.value('osp_infisical_writes{state="under_way"}')).toBe(0);
  });

  it('follow the store, the grants and the shared workspaces', async () => {
    const store = new MemorySecretStore();
    const grantSource = new FixedGrantSource(EXAMPLE_APPS);
    const one = await start({ store, grantSource });
    let text = await one.scrape();
    for (const line of ['osp_store_ready 1', 'osp_grants_apps 3', 'osp_grants_problems 0', 'osp_shared_workspaces 1'])
      expect(text).toContain(`\n${line}\n`); // prettier-ignore
    expect(text).toContain('\nosp_grants_age_seconds 0\n');
    store.failure = new StoreUnavailable();
    grantSource.set([...EXAMPLE_APPS, { ...EXAMPLE_APPS[0]!, user: 'eve' }]);
    text = await one.scrape();
    for (const line of ['osp_store_ready 0', 'osp_grants_apps 2', 'osp_grants_problems 2'])
      expect(text).toContain(`\n${line}\n`); // prettier-ignore
  });

  it('are not delayed by a store that hangs', async () => {
    const store = new MemorySecretStore();
    const one = await start({ store });
    expect(await one.value('osp_store_ready')).toBe(1);
    let answer: (error: Error) => void = () => undefined;
    store.ping = () => new Promise((_resolve, reject) => (answer = reject));
    const beganMs = performance.now();
    expect(await one.value('osp_store_ready')).toBe(1);
    expect(performance.now() - beganMs).toBeLessThan(2_000);
    answer(new Error('gone'));
    expect(await one.value('osp_store_ready')).toBe(0);
  });

  it.each([
    ['fails', () => Promise.reject(new Error('EIO'))],
    ['hangs', () => new Promise<never>(() => undefined)],
  ])('are all there within a second but for what a disk holds that %s', async (_how, figures) => {
    const metrics = new Metrics();
    diskMetrics(metrics).opened(figures);
    limitMetrics(metrics).connectionsOpened(() => 7);
    for (const _scrape of [1, 2]) {
      const beganMs = performance.now();
      const text = await metrics.exposition();
      expect(performance.now() - beganMs).toBeLessThan(1_000);
      expect(valueIn(text, 'osp_connections')).toBe(7);
      expect(valueIn(text, 'osp_disk_storable_bytes')).toBeUndefined();
    }
  });

  it('show with the next scrape what a slow disk holds, and nothing of it while it hangs further', async () => {
    const metrics = new Metrics();
    const answers: ((storableBytes: number) => void)[] = [];
    const figures = () =>
      new Promise<{ storableBytes: number }>((resolve) =>
        answers.push((storableBytes) => resolve({ storableBytes })),
      );
    diskMetrics(metrics).opened(figures);
    const storable = async () => valueIn(await metrics.exposition(), 'osp_disk_storable_bytes');
    expect(await storable()).toBeUndefined();
    answers[0]?.(5_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await storable()).toBe(5_000);
    expect(await storable()).toBeUndefined();
    expect(answers).toHaveLength(2);
  });

  it('show how late the event loop ran since the last scrape', async () => {
    const one = await start();
    await one.scrape();
    // The first look after a scrape only begins to measure.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const untilMs = performance.now() + 300;
    while (performance.now() < untilMs);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const text = await one.scrape();
    const longest = Number(/^osp_event_loop_delay_seconds\{quantile="1"\} (\S+)$/m.exec(text)?.[1]);
    expect(longest).toBeGreaterThan(0.2);
    expect(text).toMatch(/^osp_event_loop_delay_seconds_count [1-9]/m);
  });

  it('have a bounded number of series and contain no secret, whatever hundreds of users send', async () => {
    const store = new MemorySecretStore();
    const one = await start({ store });
    const exercise = async (from: number, to: number) => {
      for (let at = from; at < to; at += 100) {
        const users = Array.from({ length: Math.min(100, to - at) }, (_, i) => at + i);
        await Promise.all(users.map((user) => sendEverything(one, user)));
      }
    };
    for (const operation of SECRET_OPERATIONS) await one.call(`${operation}?workspace=otmoic`, BODY);
    const headers = await one.headers('canary-user');
    await httpCall(`${one.service.url}/${LIST}`, { body: {}, headers });
    await exercise(0, 40);
    const before = seriesOf(await one.scrape());
    await exercise(40, 640);
    const text = await one.scrape();
    expect(seriesOf(text)).toEqual(before);
    expect(text).not.toMatch(/canary|otmoic|alice|user-\d/);
    for (const token of Object.values(headers)) expect(text).not.toContain(token);
  });
});

const IN_CLUSTER = {
  grants: { kind: 'kubernetes', feeds: ['application-permissions'], environment: {}, maxAgeMs: 600_000, audience: 'a', trustedServiceAccounts: [], systemServerProof: 'address', systemEventServiceAccounts: [], settingsServiceAccounts: [], olares: { release: 'up-to-1.12.0', leftovers: 'deny' }, staticGrants: [] },
} as const; // prettier-ignore

/** One user's request: half of them with good credentials and no grant, half what strangers may send. */
async function sendEverything(one: ObservedService, at: number): Promise<void> {
  const targets = ['%zz', `Op${at}`, `RetrieveSecret/${at}`, `admin/secret/user-${at}`];
  const operation = SECRET_OPERATIONS[at % SECRET_OPERATIONS.length] ?? 'ListSecret';
  const isKnown = at % 2 === 0;
  const target = isKnown ? `${operation}?workspace=ws-${at}` : (targets[at % targets.length] ?? '');
  const headers = { ...(isKnown && (await one.headers(`user-${at}`))), 'content-type': 'application/json' };
  const body = JSON.stringify({ name: `canary-name-${at}`, value: 'canary-value' });
  const answer = await fetch(`${one.service.url}/${target}`, { method: 'POST', headers, body });
  await answer.text();
}
