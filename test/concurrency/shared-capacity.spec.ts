import fc from 'fast-check';
import { SharedCapacity } from '../../src/concurrency/shared-capacity';

const takeAll = (capacity: SharedCapacity, subject: string, amount = 1): number => {
  let taken = 0;
  while (typeof capacity.take(subject, amount) === 'function') taken += amount;
  return taken;
};

describe('SharedCapacity', () => {
  it('gives one subject half of it, and each that comes later as much as is free', () => {
    const capacity = new SharedCapacity(1_000);
    expect(takeAll(capacity, 'first')).toBe(500);
    expect(takeAll(capacity, 'second')).toBe(250);
    expect(takeAll(capacity, 'third')).toBe(125);
  });

  it('leaves capacity for a new subject however many others take what they can', () => {
    const capacity = new SharedCapacity(2_000);
    const others = Array.from({ length: 60 }, (_, at) => `attacker ${at}`);
    for (let round = 0; round < 1_000; round += 1) for (const other of others) capacity.take(other);
    expect(takeAll(capacity, 'newcomer')).toBeGreaterThanOrEqual(16);
  });

  it('gives one subject no more than its fixed share', () => {
    const capacity = new SharedCapacity(100, 25);
    expect(takeAll(capacity, 'one')).toBe(25);
    expect(capacity.take('one')).toBe('share');
  });

  it('distinguishes a full capacity from a full share', () => {
    const capacity = new SharedCapacity(4);
    for (const subject of ['a', 'b', 'c', 'd']) expect(typeof capacity.take(subject)).toBe('function');
    expect(capacity.take('e')).toBe('full');
    expect(new SharedCapacity(4).take('a', 5)).toBe('full');
    const other = new SharedCapacity(4);
    other.take('a', 2);
    expect(other.take('a', 1)).toBe('share');
  });

  it('is free again when everything was released, once or more often', () => {
    const amounts = fc.array(fc.record({ subject: fc.constantFrom('a', 'b', 'c'), amount: fc.nat(40) }));
    fc.assert(
      fc.property(amounts, fc.nat(5), (wanted, again) => {
        const capacity = new SharedCapacity(100, 60);
        const taken = wanted.map(({ subject, amount }) => capacity.take(subject, amount));
        expect(capacity.used).toBeLessThanOrEqual(100);
        for (const release of taken) {
          for (let at = 0; at <= again; at += 1) if (typeof release === 'function') release();
        }
        expect(capacity.used).toBe(0);
        expect(takeAll(capacity, 'a')).toBe(50);
      }),
    );
  });
});
