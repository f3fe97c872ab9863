import fc from '../support/fast-check';
import { isShallowJson, MAX_DEPTH, MAX_ITEMS } from '../../src/http/server/request-bodies';

const isShallow = (text: string): boolean => isShallowJson(Buffer.from(text));

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}
function itemsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inside = Object.values(value);
  return Math.max(0, inside.length - 1) + inside.reduce((sum: number, item) => sum + itemsOf(item), 0);
}

describe('isShallowJson', () => {
  it('counts the depth and the items of the value, whatever its strings contain', () => {
    const tricky = fc.stringMatching(/^[\\"[\]{},: a]*$/);
    const json = fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' });
    fc.assert(
      fc.property(fc.oneof(json, fc.dictionary(tricky, fc.array(tricky))), (value) => {
        const expected = depthOf(value) <= MAX_DEPTH && itemsOf(value) < MAX_ITEMS;
        expect(isShallow(JSON.stringify(value))).toBe(expected);
        expect(isShallow(JSON.stringify(value, undefined, 2))).toBe(expected);
      }),
    );
  });

  it.each([
    ['as deep as a body of ours', '{"a":{"b":["c"]}}', true],
    ['one deeper', '{"a":{"b":[["c"]]}}', false],
    ['an access request with 64 operations', JSON.stringify({ perm: { ops: Array(64).fill('x') } }), true],
    ['many small fields', `{${Array.from({ length: 300 }, (_, at) => `"k${at}":1`).join()}}`, false],
    ['three megabytes of brackets', '['.repeat(3_000_000), false],
    ['brackets in a string that does not end', `{"a":"${'['.repeat(1_000)}`, true],
    ['brackets behind an escaped quote', `{"a":"\\"${'['.repeat(1_000)}"}`, true],
    ['brackets behind an escaped backslash and the end', `{"a":"\\\\"${'['.repeat(1_000)}}`, false],
  ])('%s', (_title, text, expected) => {
    expect(isShallow(text)).toBe(expected);
  });

  it('takes a time that is linear in the length of the text', () => {
    const textsOf = (length: number) =>
      [' ', ':', '1', '""', '{"a":"x'].map((text) => Buffer.from(text.repeat(length / text.length)));
    const msFor = (texts: readonly Buffer[]): number => {
      const beganMs = performance.now();
      for (const text of texts) isShallowJson(text);
      return performance.now() - beganMs;
    };
    const [small, large] = [textsOf(300_000), textsOf(3_000_000)];
    msFor(large);
    const ratios = Array.from({ length: 5 }, () => msFor(large) / msFor(small)).sort((a, b) => a - b);
    expect(ratios[0]).toBeLessThan(40);
  });
});
