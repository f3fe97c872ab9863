import { AuditChain } from '../../src/audit/audit-chain';
import type { AuditRecord } from '../../src/audit/audit-sink';
import { AuditTrail } from '../../src/audit/audit-trail';
import { auditRecord } from '../conformance/audit-sink.conformance';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemoryAuditSink } from '../support/memory.audit-sink';

const BURST = 60;

describe('the refusals of strangers and of apps beyond their rate limit', () => {
  let sink: MemoryAuditSink;
  let time: FixedMonotonicTime;
  let trail: AuditTrail;
  beforeEach(() => {
    sink = new MemoryAuditSink();
    time = new FixedMonotonicTime();
    const deps = { log: () => undefined, observer: undefined, time };
    trail = new AuditTrail(sink, new AuditChain(Buffer.alloc(32, 7)), 1_000, deps);
  });
  const refusal = (more: Partial<AuditRecord> = {}): AuditRecord => ({
    ...auditRecord('x'),
    outcome: 'denied',
    reason: 'UNAUTHENTICATED',
    peer: '10.0.0.1',
    ...more,
  });
  const refuse = async (count: number, more: Partial<AuditRecord> = {}): Promise<void> => {
    for (let at = 0; at < count; at += 1) await trail.takeRefusal(refusal(more));
  };
  const eachHas = (records: readonly AuditRecord[]) =>
    records.map(({ event, suppressing }) => [event, suppressing]);
  const later = async (ms: number): Promise<void> => {
    time.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };

  it('have records of their own up to a bound, then one that announces it, and then their number', async () => {
    await refuse(BURST + 100);
    expect(sink.records).toHaveLength(BURST + 1);
    expect(eachHas(sink.records.slice(-2))).toEqual([['outcome', undefined], ['outcome', true]]); // prettier-ignore
    await refuse(1, { operation: 'ListSecret' });
    await later(10_000);
    expect(sink.records.slice(BURST + 1)).toEqual([
      {
        time: expect.any(String),
        event: 'suppressed',
        operation: 'Refusals',
        peer: '10.0.0.1',
        refusals: { 'RetrieveSecret denied UNAUTHENTICATED': 99, 'ListSecret denied UNAUTHENTICATED': 1 },
      },
    ]);
  });

  it('are as many in the trail as there were, whatever the pace', async () => {
    let sent = 0;
    for (const [count, pauseMs] of [[100, 1_000], [3, 500], [80, 9_000], [200, 30_000], [59, 70_000], [61, 10_000]] as const) {
      await refuse(count);
      sent += count;
      await later(pauseMs);
    } // prettier-ignore
    await trail.close();
    const counted = sink.records.flatMap(({ refusals = {} }) => Object.values(refusals));
    const own = sink.records.filter(({ event }) => event === 'outcome').length;
    expect(own + counted.reduce((sum, count) => sum + count, 0)).toBe(sent);
    expect(sink.records.length).toBeLessThan(sent / 1.5);
  });

  it('of one address do not count those of another, nor those of apps', async () => {
    await refuse(BURST + 50);
    sink.records.length = 0;
    await refuse(1, { peer: '10.0.0.2' });
    await refuse(1, { reason: 'TOO_MANY_REQUESTS', outcome: 'limited', user: 'alice', app: 'notes' });
    expect(sink.records).toHaveLength(2);
    await refuse(BURST + 50, {
      reason: 'TOO_MANY_REQUESTS',
      outcome: 'limited',
      user: 'alice',
      app: 'notes',
    });
    await later(10_000);
    const counts = sink.records.filter(({ event }) => event === 'suppressed');
    expect(counts).toMatchObject([
      { peer: '10.0.0.1' },
      { user: 'alice', app: 'notes', refusals: { 'RetrieveSecret limited TOO_MANY_REQUESTS': 50 } },
    ]);
  });

  it('of a user whom a stranger only names count as those of the address', async () => {
    for (let at = 0; at < BURST + 50; at += 1) await refuse(1, { operation: 'UserDeleted', user: `u${at}` });
    expect(sink.records).toHaveLength(BURST + 1);
  });

  it('of ever new addresses share one count beyond a thousand of them, so that memory is bounded', async () => {
    for (let at = 0; at < 3_000; at += 1) await refuse(1, { peer: `10.1.${at >> 8}.${at & 255}` });
    expect(sink.records.length).toBeLessThan(1_024 + BURST + 2);
    await trail.close();
    const counted = sink.records.flatMap(({ refusals = {} }) => Object.values(refusals));
    const own = sink.records.filter(({ event }) => event === 'outcome').length;
    expect(own + counted.reduce((sum, count) => sum + count, 0)).toBe(3_000);
  });

  it('are not counted before the record that announces it was taken, nor while no record is taken', async () => {
    await refuse(BURST);
    sink.refuse = () => true;
    await expect(trail.takeRefusal(refusal())).rejects.toMatchObject({ reason: 'AUDIT_UNAVAILABLE' });
    await expect(trail.takeRefusal(refusal())).rejects.toMatchObject({ reason: 'AUDIT_UNAVAILABLE' });
    sink.refuse = () => false;
    await refuse(1);
    await refuse(1);
    expect(eachHas(sink.records.slice(BURST))).toEqual([['outcome', undefined], ['outcome', true]]); // prettier-ignore
  });

  it('keep their count where its record is not taken, until one is', async () => {
    await refuse(BURST + 11);
    sink.refuse = ({ event }) => event === 'suppressed';
    await later(10_000);
    expect(sink.records.at(-1)?.event).toBe('outcome');
    sink.refuse = () => false;
    await later(10_000);
    expect(sink.records.at(-1)).toMatchObject({ event: 'suppressed', refusals: { 'RetrieveSecret denied UNAUTHENTICATED': 10 } }); // prettier-ignore
  });
});
