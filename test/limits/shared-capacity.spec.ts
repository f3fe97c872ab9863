import fc from '../support/fast-check';
import { Overloaded, TooManyRequests } from '../../src/errors/request-errors';
import { type Release, SharedCapacity } from '../../src/limits/admission';

const sharedBy = (max: number, maxPerSubject?: number): SharedCapacity =>
  new SharedCapacity('in_flight', undefined, max, maxPerSubject);

/** Returns the release, or the refusal. */
const take = (capacity: SharedCapacity, key: string, amount = 1): Release | Error => {
  try {
    return capacity.take({ key, kind: 'read' }, amount);
  } catch (error: unknown) {
    return error as Error;
  }
};
const isRefused = (taken: Release | Error): taken is Error => taken instanceof Error;

const takeAll = (capacity: SharedCapacity, subject: string, amount = 1): number => {
  let taken = 0;
  while (!isRefused(take(capacity, subject, amount))) taken += amount;
  return taken;
};

describe('SharedCapacity', () => {
  it('gives one subject half of it, and each that comes later as much as is free', () => {
    const capacity = sharedBy(1_000);
    expect(takeAll(capacity, 'first')).toBe(500);
    expect(takeAll(capacity, 'second')).toBe(250);
    expect(takeAll(capacity, 'third')).toBe(125);
  });

  it('leaves capacity for a new subject however many others take what they can', () => {
    const capacity = sharedBy(2_000);
    const others = Array.from({ length: 60 }, (_, at) => `attacker ${at}`);
    for (let round = 0; round < 1_000; round += 1) for (const other of others) take(capacity, other);
    expect(takeAll(capacity, 'newcomer')).toBeGreaterThanOrEqual(16);
  });

  it('gives one subject no more than its fixed share', () => {
    const capacity = sharedBy(100, 25);
    expect(takeAll(capacity, 'one')).toBe(25);
    expect(take(capacity, 'one')).toBeInstanceOf(TooManyRequests);
  });

  it('distinguishes a full capacity from a full share', () => {
    const capacity = sharedBy(4);
    for (const subject of ['a', 'b', 'c', 'd']) expect(isRefused(take(capacity, subject))).toBe(false);
    expect(take(capacity, 'e')).toBeInstanceOf(Overloaded);
    expect(take(sharedBy(4), 'a', 5)).toBeInstanceOf(Overloaded);
    const other = sharedBy(4);
    take(other, 'a', 2);
    expect(take(other, 'a', 1)).toBeInstanceOf(TooManyRequests);
  });

  it('is free again when everything was released, once or more often', () => {
    const amounts = fc.array(fc.record({ subject: fc.constantFrom('a', 'b', 'c'), amount: fc.nat(40) }));
    fc.assert(
      fc.property(amounts, fc.nat(5), (wanted, again) => {
        const capacity = sharedBy(100, 60);
        const taken = wanted.map(({ subject, amount }) => take(capacity, subject, amount));
        expect(capacity.used).toBeLessThanOrEqual(100);
        for (const release of taken) {
          for (let at = 0; at <= again; at += 1) if (!isRefused(release)) release();
        }
        expect(capacity.used).toBe(0);
        expect(takeAll(capacity, 'a')).toBe(50);
      }),
    );
  });
});
