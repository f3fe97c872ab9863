import fc from '../support/fast-check';
import { FairQueue, type FairQueueBounds } from '../../src/concurrency/fair-queue';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

class Refused extends Error {}

/** Runs work that ends when the test says so. */
class Worker {
  readonly time = new FixedMonotonicTime();
  readonly queue: FairQueue;
  readonly begun: string[] = [];
  readonly refused: string[] = [];
  readonly done: string[] = [];
  readonly running: { readonly key: string; readonly end: (failure?: Error) => void }[] = [];

  constructor(readonly bounds: FairQueueBounds) {
    this.queue = new FairQueue(bounds, this.time, () => new Refused());
  }

  start(key: string): Promise<void> {
    return this.queue
      .run(key, () => {
        this.begun.push(key);
        return new Promise<void>((resolve, reject) => {
          this.running.push({ key, end: (failure) => (failure ? reject(failure) : resolve()) });
        });
      })
      .then(
        () => void this.done.push(key),
        (error: unknown) => void (error instanceof Refused ? this.refused : this.done).push(key),
      );
  }

  async end(at = 0, failure?: Error): Promise<void> {
    this.running.splice(at, 1)[0]?.end(failure);
    await new Promise(setImmediate);
  }
}

const BOUNDS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 4,
  maxWaitingPerKey: 3,
  maxWaitMs: 1_000,
};

describe('FairQueue', () => {
  it('gives permits to the keys one after the other, however much work one of them has', async () => {
    const worker = new Worker(BOUNDS);
    for (const key of ['a', 'a', 'a', 'a', 'b']) void worker.start(key);
    for (let i = 0; i < 5; i += 1) await worker.end();
    expect(worker.begun).toEqual(['a', 'a', 'b', 'a', 'a']);
  });

  it('refuses the last of the longest queue for work of a shorter one when all places are taken', async () => {
    const worker = new Worker(BOUNDS);
    for (const key of ['a', 'a', 'a', 'a', 'b', 'c']) void worker.start(key);
    await new Promise(setImmediate);
    expect(worker.refused).toEqual(['a']);
    // Two of a, one each of b and c: d is as short as they are.
    void worker.start('d');
    await new Promise(setImmediate);
    expect(worker.refused).toEqual(['a', 'a']);
    void worker.start('e');
    await new Promise(setImmediate);
    expect(worker.refused).toEqual(['a', 'a', 'e']);
    for (let i = 0; i < 5; i += 1) await worker.end();
    expect(worker.begun).toEqual(['a', 'a', 'b', 'c', 'd']);
  });

  it('refuses work that gets no permit in time, and never begins it', async () => {
    const worker = new Worker(BOUNDS);
    for (const key of ['a', 'b']) void worker.start(key);
    worker.time.advance(1_000);
    await worker.end();
    expect([worker.begun, worker.refused, worker.done]).toEqual([['a'], ['b'], ['a']]);
    expect([worker.queue.waiting, worker.queue.running]).toEqual([0, 0]);
  });

  it('passes a permit on whether the work succeeds, fails or throws at once', async () => {
    const worker = new Worker(BOUNDS);
    for (const key of ['a', 'b']) void worker.start(key);
    await worker.end(0, new Error('failed'));
    expect(worker.begun).toEqual(['a', 'b']);
    await worker.end();
    await expect(
      worker.queue.run('c', () => {
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
    expect([worker.queue.waiting, worker.queue.running]).toEqual([0, 0]);
  });

  it('keeps its bounds, settles all work and leaves nothing behind in any sequence of events', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const step = fc.oneof(
      { weight: 4, arbitrary: key.map((of) => ({ kind: 'start', of }) as const) },
      { weight: 3, arbitrary: fc.nat(5).map((at) => ({ kind: 'end', at }) as const) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 1_200 }).map((ms) => ({ kind: 'wait', ms }) as const) },
    );
    const bounds = fc.record({
      maxRunning: fc.integer({ min: 1, max: 4 }),
      maxRunningPerKey: fc.integer({ min: 1, max: 4 }),
      maxWaiting: fc.integer({ min: 0, max: 6 }),
      maxWaitingPerKey: fc.integer({ min: 1, max: 4 }),
      maxWaitMs: fc.constant(1_000),
    });
    await fc.assert(
      fc.asyncProperty(bounds, fc.array(step, { maxLength: 60 }), async (bounded, steps) => {
        const worker = new Worker(bounded);
        const all: Promise<void>[] = [];
        for (const one of steps) {
          if (one.kind === 'start') all.push(worker.start(one.of));
          else if (one.kind === 'end') await worker.end(one.at % Math.max(1, worker.running.length));
          else worker.time.advance(one.ms);
          await Promise.resolve();
          const ofKey = (of: string) => worker.running.filter((work) => work.key === of).length;
          expect(worker.queue.running).toBeLessThanOrEqual(bounded.maxRunning);
          expect(Math.max(0, ...'abcdef'.split('').map(ofKey))).toBeLessThanOrEqual(bounded.maxRunningPerKey);
          expect(worker.queue.waiting).toBeLessThanOrEqual(bounded.maxWaiting);
        }
        while (worker.running.length > 0) await worker.end();
        await Promise.all(all);
        expect([worker.queue.waiting, worker.queue.running]).toEqual([0, 0]);
        expect(worker.done.length + worker.refused.length).toBe(all.length);
      }),
      { numRuns: 200 },
    );
  }); // prettier-ignore

  const PACED: FairQueueBounds = {
    maxRunning: 4,
    maxRunningPerKey: 1,
    maxWaiting: 50,
    maxWaitingPerKey: 50,
    maxWaitMs: 1_000,
    refusesByPace: true,
  };

  it('refuses at once what would get its permit too late at the pace of its queue, from the end, and so what comes then', async () => {
    const worker = new Worker(PACED);
    for (let n = 0; n < 30; n += 1) void worker.start('a');
    const end = async (ms: number): Promise<void> => {
      worker.time.advance(ms);
      await worker.end();
    };
    await end(100);
    expect(worker.refused).toEqual([]);
    await end(100);
    // Two took 200 ms; of what waits since then, eight more get a permit before a second is over.
    expect([worker.begun.length, worker.refused.length, worker.queue.waiting]).toEqual([3, 19, 8]);
    void worker.start('b');
    expect(worker.begun.at(-1)).toBe('b');
    for (let n = 0; n < 5; n += 1) void worker.start('a');
    await new Promise(setImmediate);
    expect([worker.refused.length, worker.queue.waiting]).toEqual([22, 10]);
    expect(worker.refused).not.toContain('b');
  });

  it('refuses nothing by its pace that would have got its permit in time', async () => {
    const worker = new Worker({ ...PACED, maxRunning: 1 });
    for (let n = 0; n < 11; n += 1) void worker.start('a');
    for (let n = 0; n < 11; n += 1) {
      worker.time.advance(99);
      await worker.end();
    }
    expect([worker.done.length, worker.refused]).toEqual([11, []]);
  });
});
