import { CallerAddresses, FairTurns } from '../../src/http/server/fair-turns';
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
