import { ScopeEpochs } from '../../../src/stores/cached/cache-entries';

describe('what was read of a scope', () => {
  it('is superseded by a write to it that ended later, and by no other', () => {
    const epochs = new ScopeEpochs();
    const before = epochs.now;
    epochs.raise('a');
    expect([epochs.supersedes('a', before), epochs.supersedes('b', before)]).toEqual([true, false]);
    expect(epochs.supersedes('a', epochs.now)).toBe(false);
  });

  it('is superseded by a write whose scope nobody knows', () => {
    const epochs = new ScopeEpochs();
    const before = epochs.now;
    epochs.raiseAll();
    expect([epochs.supersedes('a', before), epochs.supersedes('a', epochs.now)]).toEqual([true, false]);
  });

  it('is superseded also when the write to it is remembered no more, and memory stays bounded', () => {
    const epochs = new ScopeEpochs(3);
    const before = epochs.now;
    for (const scope of ['a', 'b', 'c', 'd', 'e']) epochs.raise(scope);
    expect(epochs.remembered).toBe(3);
    for (const scope of ['a', 'b', 'c', 'd', 'e']) expect(epochs.supersedes(scope, before)).toBe(true);
    expect(epochs.supersedes('a', epochs.now)).toBe(false);
  });
});
