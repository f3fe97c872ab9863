import { once } from 'node:events';
import { hash } from 'bcrypt';
import type { Settings } from '../../src/config/settings';
import { StoreOutcomeUnknown, StoreUnreachable } from '../../src/errors/store-errors';
import { CachedSecretStore } from '../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../src/stores/cached/invalidation-bus';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { AUDIT_SETTINGS, MemoryAuditSink } from '../support/memory.audit-sink';
import { MemorySecretStore } from '../support/memory.secret-store';
import { ObservedService } from '../support/observed-service';
import { openSocket } from '../support/raw-exchange';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

describe('a record says how an operation ended', () => {
  const sink = new MemoryAuditSink();
  const clock = new FixedClock();
  const time = new FixedMonotonicTime();
  let inner: MemorySecretStore;
  let service: Service;
  let headers: Record<string, string>;
  beforeEach(async () => {
    sink.records.length = 0;
    inner = new MemorySecretStore();
    headers = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
  });
  afterEach(() => service.close());

  const start = async (settings: Partial<Settings> = {}): Promise<void> => {
    const cache = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 10, maxBytes: 1_000_000 };
    const store = new CachedSecretStore(inner, cache, { time, invalidationBus: new NoInvalidationBus() });
    const adapters = { clock, time, store, grantSource: exampleApps(), auditSink: sink };
    service = await startService(adapters, { audit: AUDIT_SETTINGS, ...settings });
  };
  const call = (op: string, body: object = {}) =>
    httpCall(`${service.url}/${op}?workspace=otmoic`, { headers, body });
  const write = (op: string, name: string) => call(op, { name, value: 'v' });
  const APP = { app: 'otmoiclp', user: 'alice', provenBy: ['user_token', 'access_token'] };

  it('from memory, since when the store could not be asked, also for a name that is not there', async () => {
    await start();
    await write('CreateSecret', 'k');
    await call('ListSecret');
    inner.failure = new StoreUnreachable();
    time.advance(12_300);
    sink.records.length = 0;
    await call('RetrieveSecret', { name: 'k' });
    await call('ListSecret');
    await call('RetrieveSecret', { name: 'absent' });
    expect(sink.records).toMatchObject([
      { outcome: 'allowed', staleForMs: expect.any(Number), name: 'k' },
      { outcome: 'allowed', staleForMs: expect.any(Number) },
      { outcome: 'failed', reason: 'SECRET_NOT_FOUND', staleForMs: expect.any(Number), name: 'absent' },
    ]);
  });

  it('limited, whose limit it was, also where the same credentials are refused before they are verified', async () => {
    const few = { perSecond: 0.5, burst: 1 };
    await start({ limits: { rates: { app: { read: few }, user: {} }, maxInFlight: 500 } });
    for (let at = 0; at < 3; at += 1) await call('ListSecret');
    expect(sink.records).toMatchObject([
      { ...APP, outcome: 'allowed' },
      { ...APP, outcome: 'limited', reason: 'TOO_MANY_REQUESTS', workspace: 'otmoic' },
      { outcome: 'limited', reason: 'TOO_MANY_REQUESTS', app: 'otmoiclp', user: 'alice' },
    ]);
    for (const { grants } of sink.records.slice(1)) expect(grants).toBeUndefined();
  });

  it('limited, where the body is too large', async () => {
    await start();
    await write('CreateSecret', 'x'.repeat(100_000));
    await call('RetrieveSecret', { name: 'x'.repeat(100_000) });
    expect(sink.records).toMatchObject([
      { ...APP, outcome: 'failed', reason: 'INVALID_REQUEST', operation: 'CreateSecret' },
      { ...APP, outcome: 'limited', reason: 'REQUEST_TOO_LARGE', operation: 'RetrieveSecret' },
    ]);
  });

  const hangUp = async (op: string, body: string, length = body.length): Promise<void> => {
    const all = { host: 'h', 'content-type': 'application/json', 'content-length': `${length}`, ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    const socket = openSocket(service.url);
    const { length: before } = inner.calls;
    socket.write(`POST /${op}?workspace=otmoic HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
    if (length === body.length) await eventually(() => expect(inner.calls.length).toBeGreaterThan(before));
    else await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
  };

  it('cancelled, where the client hung up while its read was with the store', async () => {
    await start();
    let go: () => void = () => undefined;
    inner.gate = new Promise((resolve) => (go = resolve));
    await hangUp('RetrieveSecret', '{"name":"k"}');
    await eventually(() => expect(sink.records).toHaveLength(1));
    go();
    const record = { ...APP, outcome: 'cancelled', reason: 'CLIENT_GONE', clientGone: true, name: 'k' };
    expect(sink.records).toMatchObject([{ ...record, peer: expect.stringContaining('127.0.0.1') }]);
  });

  it('done, where the client hung up while its write was with the store', async () => {
    await start();
    let go: () => void = () => undefined;
    inner.gate = new Promise((resolve) => (go = resolve));
    await hangUp('CreateSecret', '{"name":"k","value":"v"}');
    expect(sink.records).toMatchObject([{ event: 'attempt', name: 'k' }]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    go();
    await eventually(() => expect(sink.records).toHaveLength(2));
    expect(sink.records[1]).toMatchObject({ ...APP, event: 'outcome', outcome: 'allowed', clientGone: true });
  });

  it('cancelled, where the client hung up before its body had come', async () => {
    await start();
    await hangUp('CreateSecret', '{"name":"k",', 100);
    await eventually(() => expect(sink.records).toHaveLength(1));
    expect(sink.records[0]).toMatchObject({ outcome: 'cancelled', reason: 'CLIENT_GONE', clientGone: true });
    expect(inner.calls).toEqual([]);
  });

  it('failed, with the attempt before it, where the store did not answer a write', async () => {
    await start();
    inner.failure = new StoreOutcomeUnknown();
    await write('CreateSecret', 'k');
    expect(sink.records).toMatchObject([
      { event: 'attempt', name: 'k', operation: 'CreateSecret' },
      { event: 'outcome', outcome: 'failed', reason: 'STORE_OUTCOME_UNKNOWN', name: 'k' },
    ]);
  });

  it('as it truly was, where every answer is HTTP 200', async () => {
    await start({ responseStyle: 'sidecar' });
    const answers = [
      await call('ListSecret'),
      await call('RetrieveSecret', { name: 'absent' }),
      await httpCall(`${service.url}/ListSecret?workspace=foreign`, { headers, body: {} }),
      await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { body: {} }),
      await call('RetrieveSecret', { name: '' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
    expect(sink.records.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['allowed', undefined],
      ['failed', 'SECRET_NOT_FOUND'],
      ['denied', 'NOT_GRANTED'],
      ['denied', 'UNAUTHENTICATED'],
      ['failed', 'INVALID_REQUEST'],
    ]);
  });

  it('of an answer that is sent in parts, before its first byte', async () => {
    await start();
    const contents = 'v'.repeat(100_000);
    for (const name of ['a', 'b', 'c']) await call('CreateSecret', { name, value: contents });
    sink.records.length = 0;
    expect((await call('ListSecret')).status).toBe(200);
    expect(sink.records).toMatchObject([{ operation: 'ListSecret', outcome: 'allowed' }]);
    sink.refuse = () => true;
    const refused = await call('ListSecret');
    sink.refuse = () => false;
    expect([refused.status, refused.body.data.reason]).toEqual([503, 'AUDIT_UNAVAILABLE']);
    expect(refused.text).not.toContain('vvvv');
  });

  it('and where it is not taken, no header tells of what was read: neither that it is there, nor whether it has changed, nor of when it is', async () => {
    await start();
    await write('CreateSecret', 'k');
    await call('ListSecret');
    sink.refuse = () => true;
    const refused = async (): Promise<void> => {
      const known = await call('RetrieveSecret', { name: 'k' });
      const { headers: unknown } = await call('RetrieveSecret', { name: 'absent' });
      expect([known.status, known.body.data.reason]).toEqual([503, 'AUDIT_UNAVAILABLE']);
      expect(Object.keys(known.headers)).toEqual(Object.keys(unknown));
      for (const name of ['etag', 'age', 'cache-status']) expect(known.headers[name]).toBeUndefined();
    };
    await refused();
    inner.failure = new StoreUnreachable();
    time.advance(12_300);
    await refused();
    sink.refuse = () => false;
    expect(JSON.stringify(service.logLines())).not.toContain('staleForMs');
    expect((await call('RetrieveSecret', { name: 'k' })).headers['cache-status']).toContain('hit');
  });

  it('failed, where the service cut the connection off, for the reason that the log has', async () => {
    await start();
    const all = { host: 'h', 'content-type': 'application/json', 'transfer-encoding': 'chunked', ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = openSocket(service.url);
    const arrived = once(service.app.getHttpServer(), 'request');
    socket.write(`POST /ListSecret?workspace=otmoic HTTP/1.1\r\n${lines.join('')}\r\n1\r\n{\r\n`);
    const [request] = await arrived;
    await eventually(() => expect(request.id).toBeDefined());
    socket.write('ZZ\r\n');
    await eventually(() => expect(sink.records).toHaveLength(1));
    expect(sink.records).toMatchObject([{ outcome: 'failed', reason: 'INVALID_REQUEST', clientGone: true }]);
  });

  it('of a request for an access token: issued, not granted, not proven, not of the form', async () => {
    await start();
    const ask = async (app: typeof OTMOICLP, ops: readonly string[], secret = app.appSecret) => {
      clock.advance(1_000);
      const timestamp = Math.floor(clock.nowMs() / 1000);
      const token = await hash(`${app.appKey}${timestamp}${secret}`, 10);
      const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops };
      const body = { app_key: app.appKey, timestamp, token, perm };
      return httpCall(`${service.url}/permission/v1alpha1/access`, { body });
    };
    const issued = await ask(READER, READER.ops);
    await ask(READER, OTMOICLP.ops);
    await ask(OTMOICLP, OTMOICLP.ops, 'canary-wrong-secret');
    await httpCall(`${service.url}/permission/v1alpha1/access`, { body: { app_key: 'x' } });
    const proven = { operation: 'IssueAccessToken', app: 'reader', user: 'alice', provenBy: ['app_proof'] };
    expect(sink.records).toMatchObject([
      { ...proven, outcome: 'allowed', grants: READER.ops },
      { ...proven, outcome: 'denied', reason: 'NOT_GRANTED' },
      { outcome: 'denied', reason: 'UNAUTHENTICATED', claimedApp: 'otmoiclp', claimedUser: 'alice' },
      { outcome: 'failed', reason: 'INVALID_REQUEST' },
    ]);
    for (const { grants } of sink.records.slice(1)) expect(grants).toBeUndefined();
    for (const { app, provenBy } of sink.records.slice(2))
      expect([app, provenBy]).toEqual([undefined, undefined]);
    const text = JSON.stringify(sink.records);
    for (const secret of [issued.body.data.access_token, READER.appKey, READER.appSecret, '$2b$'])
      expect(text).not.toContain(secret);
  });
});

describe('the metric of the audit trail', () => {
  it('counts records that were taken and that were refused, from the start, and is absent without a trail', async () => {
    const auditSink = new MemoryAuditSink();
    const one = await ObservedService.start({ settings: { audit: AUDIT_SETTINGS }, auditSink });
    const values = async () => {
      const of = (result: string) => one.value(`osp_audit_records_total{result="${result}"}`);
      return [await of('taken'), await of('refused')];
    };
    try {
      expect(await values()).toEqual([0, 0]);
      await one.call('ListSecret?workspace=otmoic', {});
      expect(await values()).toEqual([1, 0]);
      auditSink.refuse = () => true;
      await one.call('ListSecret?workspace=otmoic', {});
      expect(await values()).toEqual([1, 1]);
    } finally {
      await one.close();
    }
    const without = await ObservedService.start();
    expect(await without.scrape()).not.toContain('osp_audit');
    await without.close();
  });
});
