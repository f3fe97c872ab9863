import * as fc from 'fast-check';
import { FairTurns, type TurnBounds } from '../../src/concurrency/fair-turns';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

class Refused extends Error {}

/** Work that ends when the test says so. */
class Desk {
  readonly time = new FixedMonotonicTime();
  readonly turns: FairTurns;
  readonly begun: string[] = [];
  readonly refused: string[] = [];
  readonly done: string[] = [];
  readonly underWay: { readonly key: string; readonly end: (failure?: Error) => void }[] = [];

  constructor(readonly bounds: TurnBounds) {
    this.turns = new FairTurns(bounds, this.time, () => new Refused());
  }

  ask(key: string): Promise<void> {
    return this.turns
      .run(key, () => {
        this.begun.push(key);
        return new Promise<void>((resolve, reject) => {
          this.underWay.push({ key, end: (failure) => (failure ? reject(failure) : resolve()) });
        });
      })
      .then(
        () => void this.done.push(key),
        (error: unknown) => void (error instanceof Refused ? this.refused : this.done).push(key),
      );
  }

  async end(at = 0, failure?: Error): Promise<void> {
    this.underWay.splice(at, 1)[0]?.end(failure);
    await new Promise(setImmediate);
  }
}

const BOUNDS: TurnBounds = {
  maxUnderWay: 1,
  maxUnderWayOfOne: 1,
  maxWaiting: 4,
  maxWaitingOfOne: 3,
  maxWaitMs: 1_000,
};

describe('fair turns', () => {
  it('go to the keys one after the other, however much one of them wants', async () => {
    const desk = new Desk(BOUNDS);
    for (const key of ['a', 'a', 'a', 'a', 'b']) void desk.ask(key);
    for (let i = 0; i < 5; i += 1) await desk.end();
    expect(desk.begun).toEqual(['a', 'a', 'b', 'a', 'a']);
  });

  it('where all places are taken, the longest line gives up its last for a shorter one', async () => {
    const desk = new Desk(BOUNDS);
    for (const key of ['a', 'a', 'a', 'a', 'b', 'c']) void desk.ask(key);
    await new Promise(setImmediate);
    expect(desk.refused).toEqual(['a']);
    // Two of a, one each of b and c: d is as short as they are.
    void desk.ask('d');
    await new Promise(setImmediate);
    expect(desk.refused).toEqual(['a', 'a']);
    void desk.ask('e');
    await new Promise(setImmediate);
    expect(desk.refused).toEqual(['a', 'a', 'e']);
    for (let i = 0; i < 5; i += 1) await desk.end();
    expect(desk.begun).toEqual(['a', 'a', 'b', 'c', 'd']);
  });

  it('that do not come in time are refused, and the work is never begun', async () => {
    const desk = new Desk(BOUNDS);
    for (const key of ['a', 'b']) void desk.ask(key);
    desk.time.advance(1_000);
    await desk.end();
    expect([desk.begun, desk.refused, desk.done]).toEqual([['a'], ['b'], ['a']]);
    expect([desk.turns.waiting, desk.turns.underWay]).toEqual([0, 0]);
  });

  it('are given on whether the work is done or fails, and work that throws at once keeps none', async () => {
    const desk = new Desk(BOUNDS);
    for (const key of ['a', 'b']) void desk.ask(key);
    await desk.end(0, new Error('failed'));
    expect(desk.begun).toEqual(['a', 'b']);
    await desk.end();
    await expect(
      desk.turns.run('c', () => {
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
    expect([desk.turns.waiting, desk.turns.underWay]).toEqual([0, 0]);
  });

  it('keep their bounds, refuse only where there is no place, and leave nothing behind, whatever happens', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const step = fc.oneof(
      { weight: 4, arbitrary: key.map((of) => ({ kind: 'ask', of }) as const) },
      { weight: 3, arbitrary: fc.nat(5).map((at) => ({ kind: 'end', at }) as const) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 1_200 }).map((ms) => ({ kind: 'wait', ms }) as const) },
    );
    const bounds = fc.record({
      maxUnderWay: fc.integer({ min: 1, max: 4 }),
      maxUnderWayOfOne: fc.integer({ min: 1, max: 4 }),
      maxWaiting: fc.integer({ min: 0, max: 6 }),
      maxWaitingOfOne: fc.integer({ min: 1, max: 4 }),
      maxWaitMs: fc.constant(1_000),
    });
    await fc.assert(
      fc.asyncProperty(bounds, fc.array(step, { maxLength: 60 }), async (bounded, steps) => {
        const desk = new Desk(bounded);
        const all: Promise<void>[] = [];
        for (const one of steps) {
          if (one.kind === 'ask') all.push(desk.ask(one.of));
          else if (one.kind === 'end') await desk.end(one.at % Math.max(1, desk.underWay.length));
          else desk.time.advance(one.ms);
          await Promise.resolve();
          const ofKey = (of: string) => desk.underWay.filter((work) => work.key === of).length;
          expect(desk.turns.underWay).toBeLessThanOrEqual(bounded.maxUnderWay);
          expect(Math.max(0, ...'abcdef'.split('').map(ofKey))).toBeLessThanOrEqual(bounded.maxUnderWayOfOne);
          expect(desk.turns.waiting).toBeLessThanOrEqual(bounded.maxWaiting);
        }
        while (desk.underWay.length > 0) await desk.end();
        await Promise.all(all);
        expect([desk.turns.waiting, desk.turns.underWay]).toEqual([0, 0]);
        expect(desk.done.length + desk.refused.length).toBe(all.length);
      }),
      { numRuns: 200 },
    );
  }); // prettier-ignore

  const PACED: TurnBounds = { maxUnderWay: 4, maxUnderWayOfOne: 1, maxWaiting: 50, maxWaitingOfOne: 50, maxWaitMs: 1_000, byPace: true }; // prettier-ignore

  it('at the pace of a line, whose turn would come too late is sent away at once, from its end, and so is who comes then', async () => {
    const desk = new Desk(PACED);
    for (let n = 0; n < 30; n += 1) void desk.ask('a');
    const end = async (ms: number): Promise<void> => {
      desk.time.advance(ms);
      await desk.end();
    };
    await end(100);
    expect(desk.refused).toEqual([]);
    await end(100);
    // Two took 200 ms; of those who wait since then, eight more have their turn before a second is over.
    expect([desk.begun.length, desk.refused.length, desk.turns.waiting]).toEqual([3, 19, 8]);
    void desk.ask('b');
    expect(desk.begun.at(-1)).toBe('b');
    for (let n = 0; n < 5; n += 1) void desk.ask('a');
    await new Promise(setImmediate);
    expect([desk.refused.length, desk.turns.waiting]).toEqual([22, 10]);
    expect(desk.refused).not.toContain('b');
  });

  it('at the pace of a line, nobody is sent away who would have had the turn', async () => {
    const desk = new Desk({ ...PACED, maxUnderWay: 1 });
    for (let n = 0; n < 11; n += 1) void desk.ask('a');
    for (let n = 0; n < 11; n += 1) {
      desk.time.advance(99);
      await desk.end();
    }
    expect([desk.done.length, desk.refused]).toEqual([11, []]);
  });
});
