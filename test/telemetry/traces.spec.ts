import { eventually } from '../support/eventually';
import { FakeCollector } from '../support/fake-collector';
import { httpCall } from '../support/http-call';
import { ObservedService } from '../support/observed-service';
import { Traces } from '../../src/telemetry/traces';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = `00-${TRACE}-b7ad6b7169203331-01`;
const BODY = { name: 'canary-name', value: 'canary-value' };
const CREATE = 'CreateSecret?workspace=otmoic';
const SERVER = 2;
const CLIENT = 3;

describe('traces', () => {
  let collector: FakeCollector;
  let one: ObservedService;
  const start = async (share = 1): Promise<void> => {
    one = await ObservedService.start({ settings: { traces: { endpoint: collector.url, share } } });
  };
  beforeEach(async () => {
    collector = await FakeCollector.start();
  });
  afterEach(async () => {
    await one.close();
    await collector.close();
  });

  it("continue the caller's trace, through every step of ours, to Infisical", async () => {
    await start();
    await one.call(CREATE, BODY, { traceparent: CALLER, tracestate: 'vendor=1' });
    const calls = one.fake.calls.filter(({ template }) => template !== undefined);
    expect(calls.length).toBeGreaterThan(3);
    expect(calls.filter(({ traceparent }) => traceparent?.startsWith(`00-${TRACE}-`) !== true)).toEqual([]);
    expect(await one.value('osp_requests_total{op="CreateSecret",code="200"}')).toBe(1);
    await one.close();
    const { spans } = collector;
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    const request = spans.find(({ kind }) => kind === SERVER);
    expect(request).toMatchObject({ name: 'CreateSecret', parentSpanId: 'b7ad6b7169203331' });
    expect(request?.attributes).toEqual({ 'osp.op': 'CreateSecret', 'http.response.status_code': 200 });
    const steps = spans.filter(({ parentSpanId }) => parentSpanId === request?.spanId);
    expect(steps.map(({ name }) => name)).toEqual(['authenticate', 'authorise', 'store create']);
    const store = steps[2];
    const upstream = spans.filter(({ kind }) => kind === CLIENT);
    expect(upstream.filter(({ parentSpanId }) => parentSpanId !== store?.spanId)).toEqual([]);
    const write = upstream.find(({ name }) => name === 'POST /api/v3/secrets/raw/{name}');
    expect(write?.attributes).toEqual({
      'http.request.method': 'POST',
      'url.template': '/api/v3/secrets/raw/{name}',
      'http.response.status_code': 200,
      'osp.api_version': 'v3',
      'osp.outcome': 'ok',
    });
    // What Infisical was told is the span of the very call.
    const parentSpanId = calls.at(-1)?.traceparent?.split('-')[2];
    expect(parentSpanId).toBe(write?.spanId);
  });

  it('begin here where the caller has none or a broken one, and requests do not mix', async () => {
    await start();
    const broken = ['', '00-0-0-01', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`];
    await Promise.all(
      broken.map((traceparent) => one.call('ListSecret?workspace=otmoic', {}, { traceparent })),
    );
    await one.close();
    const requests = collector.spans.filter(({ kind }) => kind === SERVER);
    expect(requests.map(({ parentSpanId }) => parentSpanId)).toEqual([undefined, undefined, undefined]);
    expect(new Set(requests.map(({ traceId }) => traceId)).size).toBe(3);
    for (const { spanId, traceId } of requests) {
      const steps = collector.spans.filter(({ parentSpanId }) => parentSpanId === spanId);
      expect(steps.map(({ name }) => name)).toEqual(['authenticate', 'authorise', 'store list']);
      expect(steps.filter((step) => step.traceId !== traceId)).toEqual([]);
    }
  });

  it('are recorded where the caller records them, and for a share of the others; the context is always propagated', async () => {
    await start(0);
    await one.call('ListSecret?workspace=otmoic', {});
    await one.call('ListSecret?workspace=otmoic', {}, { traceparent: CALLER });
    await one.call('ListSecret?workspace=otmoic', {}, { traceparent: CALLER.replace(/01$/, '00') });
    const last = one.fake.calls.at(-1)?.traceparent;
    expect(last).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    await one.close();
    expect(collector.spans.filter(({ kind }) => kind === SERVER)).toHaveLength(1);
  });

  it('name a failure by its reason, and contain no value, name, user, app, workspace or token', async () => {
    await start();
    const headers = await one.headers();
    const refused = await one.call('CreateSecret?workspace=canary-workspace', BODY, headers);
    await httpCall(`${one.service.url}/canary-route`, { body: BODY });
    await one.call(CREATE, BODY, headers);
    await one.call(CREATE, BODY, headers);
    one.fake.fail({
      times: 99,
      fault: {
        kind: 'answer',
        status: 500,
        body: { statusCode: 500, error: 'canary-error', message: BODY.value },
      },
    });
    await one.call('RetrieveSecret?workspace=otmoic', { name: BODY.name }, headers);
    await one.close();
    expect(refused.status).toBe(403);
    const authorise = collector.spans.filter(({ name }) => name === 'authorise');
    expect(authorise[0]?.attributes).toEqual({ 'osp.reason': 'NOT_GRANTED' });
    const requests = collector.spans.filter(({ kind }) => kind === SERVER);
    expect(
      requests.map(({ name, attributes, status }) => [name, attributes['osp.reason'], status.code]),
    ).toEqual([
      ['CreateSecret', 'NOT_GRANTED', 0],
      ['other', 'ROUTE_NOT_FOUND', 0],
      ['CreateSecret', undefined, 0],
      ['CreateSecret', 'SECRET_ALREADY_EXISTS', 0],
      ['RetrieveSecret', 'STORE_UNAVAILABLE', 2],
    ]);
    const sent = collector.bodies.join('\n');
    expect(sent).toContain('serverFailure');
    expect(sent).not.toMatch(/canary|alice|otmoic/);
    for (const secret of [...Object.values(headers), one.fake.identity.clientSecret])
      expect(sent).not.toContain(secret);
  });

  it('are not recorded for probes and background work', async () => {
    await start();
    await httpCall(`${one.service.url}/readyz`, { method: 'GET' });
    await one.scrape();
    await one.close();
    expect(one.fake.calls.length).toBeGreaterThan(0);
    expect(one.fake.calls.filter(({ traceparent }) => traceparent !== undefined)).toEqual([]);
    expect(collector.bodies).toEqual([]);
  });

  it('delay no request and no end of the process while the collector hangs', async () => {
    await start();
    collector.hangs = true;
    const answers = [];
    for (let batch = 0; batch < 10; batch++) {
      const calls = Array.from({ length: 60 }, () => one.call('no-such-route', {}));
      answers.push(...(await Promise.all(calls)));
    }
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    expect((await one.call('ListSecret?workspace=otmoic', {})).status).toBe(200);
    expect(collector.bodies.length).toBeGreaterThan(0);
    const beganMs = performance.now();
    await one.close();
    expect(performance.now() - beganMs).toBeLessThan(4_000);
  });

  it('are lost while nobody listens, and only their number is logged', async () => {
    await start();
    await collector.close();
    expect((await one.call('ListSecret?workspace=otmoic', {})).status).toBe(200);
    await one.close();
    await eventually(() => expect(one.logged).toEqual(['traces_not_exported']), 8_000);
    collector = await FakeCollector.start();
  });
});

describe('metrics beside traces', () => {
  it('are told of each request and call that the traces are told of, outside of a traced request too', async () => {
    const told: string[] = [];
    const tell = (what: string) => (): void => void told.push(what);
    const collector = await FakeCollector.start();
    const traces = new Traces({ endpoint: collector.url, share: 1 }, tell('log'), {
      requests: {
        requestArrives: () => {
          told.push('request');
          return { run: (proceed) => proceed(), ended: ({ op }) => told.push(`${op} ended`) };
        },
      },
      infisical: {
        opened: tell('opened'),
        callBegins: ({ call }) => {
          told.push(call);
          return { headers: {}, ended: (outcome, status) => told.push(`${call} ${outcome} ${status}`) };
        },
        waitedForPermit: (waitedMs) => told.push(`waited ${waitedMs}`),
        permitRefused: tell('refused'),
      },
    });
    const ping = { call: 'ping', method: 'GET', pathTemplate: '/' } as const;
    traces.opened({
      apiVersion: () => 'v3',
      sessionEndsAtMs: () => undefined,
      callsWaiting: () => 0,
      writes: () => ({ waiting: 0, underWay: 0 }),
    });
    const outside = traces.callBegins(ping);
    outside.ended('ok', 200);
    const request = traces.requestArrives({});
    request.run(() => {
      const within = traces.callBegins(ping);
      expect([outside.headers, Object.keys(within.headers)]).toEqual([{}, ['traceparent']]);
      within.ended('serverFailure', 500);
    });
    traces.waitedForPermit(7);
    traces.permitRefused();
    request.ended({ op: 'ListSecret', durationMs: 1, code: 200, reason: undefined });
    expect(told.splice(0)).toEqual([
      ...['opened', 'ping', 'ping ok 200'],
      ...['request', 'ping', 'ping serverFailure 500'],
      ...['waited 7', 'refused', 'ListSecret ended'],
    ]);
    await traces.close();
    await collector.close();
  });
});
