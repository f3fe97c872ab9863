import { ScopeGenerations } from '../../../src/stores/cached/cache-entries';

describe('what was read of a scope', () => {
  it('is superseded by a write to it that ended later, and by no other', () => {
    const generations = new ScopeGenerations();
    const before = generations.now;
    generations.raise('a');
    expect([
      generations.hasInvalidatedSince('a', before),
      generations.hasInvalidatedSince('b', before),
    ]).toEqual([true, false]);
    expect(generations.hasInvalidatedSince('a', generations.now)).toBe(false);
  });

  it('is superseded by a write whose scope nobody knows', () => {
    const generations = new ScopeGenerations();
    const before = generations.now;
    generations.raiseAll();
    expect([
      generations.hasInvalidatedSince('a', before),
      generations.hasInvalidatedSince('a', generations.now),
    ]).toEqual([true, false]);
  });

  it('is superseded also when the write to it is remembered no more, and memory stays bounded', () => {
    const generations = new ScopeGenerations(3);
    const before = generations.now;
    for (const scope of ['a', 'b', 'c', 'd', 'e']) generations.raise(scope);
    expect(generations.remembered).toBe(3);
    for (const scope of ['a', 'b', 'c', 'd', 'e'])
      expect(generations.hasInvalidatedSince(scope, before)).toBe(true);
    expect(generations.hasInvalidatedSince('a', generations.now)).toBe(false);
  });
});
