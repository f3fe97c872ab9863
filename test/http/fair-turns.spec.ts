import { CallerAddresses, FairTurns } from '../../src/http/server/fair-turns';
import fc from '../support/fast-check';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const nextTurn = (): Promise<void> => new Promise(setImmediate);

describe('steps of addresses without a caller', () => {
  it('begin so many at once and in each second, while those of callers begin at once', async () => {
    const time = new FixedMonotonicTime();
    const callers = new CallerAddresses(time);
    callers.add('10.1.0.1');
    const begun: string[] = [];
    const work = { begin: (step: string) => void begun.push(step), shed: () => undefined };
    const bounds = { max: 100, maxOfAddress: 100, ofStrangers: { perSecond: 10, burst: 5 } };
    const turns = new FairTurns<string>(bounds, time, work, callers);
    for (let at = 0; at < 20; at += 1) turns.add('10.0.0.1', `stranger ${at}`);
    await nextTurn();
    expect(begun).toHaveLength(5);
    for (let at = 0; at < 8; at += 1) turns.add('10.1.0.1', `caller ${at}`);
    await nextTurn();
    expect(begun.slice(5)).toEqual(Array.from({ length: 8 }, (_, at) => `caller ${at}`));
    time.advance(500);
    await eventually(() => expect(begun).toHaveLength(18));
    time.advance(10_000);
    await eventually(() => expect(begun).toHaveLength(23));
    time.advance(10_000);
    await eventually(() => expect(begun.at(-1)).toBe('stranger 19'));
  });
});

describe('a step that comes while no other waits', () => {
  const setUp = () => {
    const time = new FixedMonotonicTime();
    const callers = new CallerAddresses(time);
    callers.add('10.1.0.1');
    const begun: string[] = [];
    const shed: string[] = [];
    const work = {
      begin: (step: string) => void begun.push(step),
      shed: (step: string) => void shed.push(step),
    };
    const turns = new FairTurns<string>({ max: 100, maxOfAddress: 100 }, time, work, callers);
    return { time, turns, begun, shed };
  };

  it('waits until the next turn, and begins in it alone', async () => {
    const { turns, begun } = setUp();
    for (const step of ['one', 'other']) {
      turns.add('10.0.0.1', step);
      expect(turns.waiting).toBe(1);
      expect(begun).not.toContain(step);
      await nextTurn();
      expect(turns.waiting).toBe(0);
      expect(begun).toContain(step);
    }
  });

  it('of a stranger does not begin before that of a caller which comes in the same turn', async () => {
    const { turns, begun } = setUp();
    turns.add('10.0.0.1', 'stranger');
    turns.add('10.1.0.1', 'caller');
    await nextTurn();
    expect(begun).toEqual(['caller', 'stranger']);
  });

  it('is postponed in a turn that accepted a connection, and does not then keep its line from being postponed as long again', async () => {
    const { time, turns, begun } = setUp();
    const postponedTurns = async (): Promise<number> => {
      const before = begun.length;
      turns.add('10.1.0.1', 'caller');
      let postponed = 0;
      for (; begun.length === before; postponed += 1) {
        turns.connectionAccepted();
        await nextTurn();
        time.advance(0.5);
      }
      return postponed;
    };
    const first = await postponedTurns();
    expect(first).toBeGreaterThan(1);
    turns.add('10.1.0.1', 'caller');
    await nextTurn();
    expect(await postponedTurns()).toBe(first);
  });

  it('is shed with all others', async () => {
    const { turns, begun, shed } = setUp();
    turns.add('10.0.0.1', 'stranger');
    turns.shedAll();
    await nextTurn();
    expect([begun, shed]).toEqual([[], ['stranger']]);
  });
});

describe('each step', () => {
  const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  const action = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      address: fc.constantFrom(...ADDRESSES),
      count: fc.integer({ min: 1, max: 12 }),
    }),
    fc.record({ kind: fc.constant('authenticate' as const), address: fc.constantFrom(...ADDRESSES) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 30_000, 59_999, 60_000) }),
  );

  const [address = ''] = ADDRESSES;
  const add = { kind: 'add' as const, address, count: 2 };
  const authenticate = { kind: 'authenticate' as const, address };
  const AGAIN_A_CALLER = [authenticate, add, { kind: 'pass' as const, ms: 60_000 }, add, authenticate, add];

  it('is begun or shed once, whenever its address becomes a caller’s and ceases to be one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const time = new FixedMonotonicTime();
        const callers = new CallerAddresses(time);
        const ended: number[] = [];
        const begun: number[] = [];
        const addressOf: string[] = [];
        const work = {
          begin: (step: number) => void (ended.push(step), begun.push(step)),
          shed: (step: number) => void ended.push(step),
        };
        const turns = new FairTurns<number>({ max: 16, maxOfAddress: 8 }, time, work, callers);
        let added = 0;
        for (const one of actions) {
          if (one.kind === 'authenticate') callers.add(one.address);
          else if (one.kind === 'pass') time.advance(one.ms);
          else
            for (let at = 0; at < one.count; at += 1) {
              addressOf.push(one.address);
              turns.add(one.address, added++);
            }
        }
        await eventually(() => expect(ended).toHaveLength(added));
        expect(new Set(ended).size).toBe(added);
        for (const address of new Set(addressOf)) {
          const ofAddress = begun.filter((step) => addressOf[step] === address);
          expect(ofAddress).toEqual([...ofAddress].sort((a, b) => a - b));
        }
        // All places are free again: as many steps as there are places are begun in their order.
        const before = ended.length;
        for (let at = 0; at < 16; at += 1) turns.add(`10.9.0.${at}`, added++);
        await eventually(() =>
          expect(ended.slice(before)).toEqual(Array.from({ length: 16 }, (_, at) => added - 16 + at)),
        );
      }),
      { numRuns: 100, examples: [[AGAIN_A_CALLER]] },
    );
  });
});
