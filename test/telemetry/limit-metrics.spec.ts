import { UNATTENDED } from '../../src/secrets/secret';
import { Overloaded } from '../../src/errors/request-errors';
import { StoreUnreachable } from '../../src/errors/store-errors';
import { Admission } from '../../src/limits/admission';
import { resilientStore } from '../../src/stores/resilience/concurrency-limit.secret-store';
import { limitMetrics, storeLoadMetrics } from '../../src/telemetry/metric-observers';
import { Metrics } from '../../src/telemetry/metrics';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemorySecretStore } from '../support/memory.secret-store';
import { ObservedService } from '../support/observed-service';

const linesOf = async (metrics: Metrics, name: string): Promise<readonly string[]> =>
  (await metrics.exposition()).split('\n').filter((line) => line.startsWith(name));

describe('the metrics of the limits', () => {
  it('count refusals by bound and kind, also those before the body is read', async () => {
    const read = { perSecond: 0.1, burst: 1 };
    const limits = { rates: { app: { read }, user: {} }, maxInFlight: 500 };
    const one = await ObservedService.start({ store: new MemorySecretStore(), settings: { limits } });
    try {
      expect(await one.value('osp_requests_refused_total{bound="app",kind="read"}')).toBe(0);
      for (let i = 0; i < 4; i += 1) await one.call('ListSecret?workspace=otmoic', {});
      const text = await one.scrape();
      expect(text).toContain('osp_requests_refused_total{bound="app",kind="read"} 3\n');
      expect(text).toContain('osp_requests_refused_total{bound="user",kind="write"} 0\n');
      expect(text).toContain('osp_requests_total{op="ListSecret",code="429"} 3\n');
      expect(text).toContain('osp_requests_in_flight 0\n');
    } finally {
      await one.close();
    }
  });

  it('count shed requests by cause, and requests in flight', async () => {
    const metrics = new Metrics();
    const loop = { isTooLate: false, close: () => undefined };
    const admission = new Admission(1, loop, limitMetrics(metrics));
    const leave = admission.requests.take({ key: 'alice', kind: 'read' });
    expect(() => admission.requests.take({ key: 'bob', kind: 'read' })).toThrow(Overloaded);
    expect(await linesOf(metrics, 'osp_requests_in_flight')).toEqual(['osp_requests_in_flight 1']);
    leave();
    loop.isTooLate = true;
    for (let i = 0; i < 2; i += 1) expect(() => admission.refuseForLoop()).toThrow(Overloaded);
    const shed = await linesOf(metrics, 'osp_requests_shed_total');
    expect(shed.filter((line) => !line.endsWith(' 0'))).toEqual([
      'osp_requests_shed_total{cause="in_flight"} 1',
      'osp_requests_shed_total{cause="event_loop"} 2',
    ]);
    expect(await linesOf(metrics, 'osp_requests_in_flight')).toEqual(['osp_requests_in_flight 0']);
  });

  it('show the queue to the store and the circuit breaker before it', async () => {
    const metrics = new Metrics();
    const inner = new MemorySecretStore();
    const time = new FixedMonotonicTime();
    const observer = storeLoadMetrics(metrics);
    const store = resilientStore(inner, 20_000, { time, log: () => undefined, observer });
    let open = (): void => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const scope = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
    inner.failure = new StoreUnreachable();
    const calls = Array.from({ length: 105 }, () => store.list(scope, UNATTENDED).catch(() => undefined));
    await new Promise(setImmediate);
    expect(await linesOf(metrics, 'osp_store_queue')).toEqual([
      'osp_store_queue_refused_total 1',
      'osp_store_queue_calls{state="waiting"} 100',
      'osp_store_queue_calls{state="under_way"} 4',
    ]);
    expect(await linesOf(metrics, 'osp_store_breaker_state{state="closed"}')).toHaveLength(1);
    open();
    await Promise.all(calls);
    expect(await linesOf(metrics, 'osp_store_breaker')).toEqual([
      'osp_store_breaker_transitions_total{to="closed"} 0',
      'osp_store_breaker_transitions_total{to="open"} 1',
      'osp_store_breaker_transitions_total{to="half_open"} 0',
      'osp_store_breaker_state{state="closed"} 0',
      'osp_store_breaker_state{state="open"} 1',
      'osp_store_breaker_state{state="half_open"} 0',
    ]);
  });
});
