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
    const generations = new ScopeGenerations();
    const before = generations.now;
    for (let n = 0; n < 100_000; n++) generations.raise(`scope ${n}`);
    expect(generations.hasInvalidatedSince('never written', before)).toBe(false);
    generations.raise('one more');
    // The first one is forgotten, so that nobody can tell it from one that was never written.
    for (const scope of ['scope 0', 'scope 1', 'one more', 'never written'])
      expect(generations.hasInvalidatedSince(scope, before)).toBe(true);
    expect(generations.hasInvalidatedSince('scope 0', generations.now)).toBe(false);
  });
});
