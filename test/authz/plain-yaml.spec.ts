import { isMap } from 'yaml';
import { plainValue, readYaml, RefusedFile, refusalOf, requireFewTokens } from '../../src/authz/plain-yaml';

/** Which line a refusal names, and why. */
function refused(work: () => unknown, text = ''): unknown {
  try {
    return work();
  } catch (error: unknown) {
    return refusalOf(error, text);
  }
}

describe('a refusal', () => {
  it('names the line of its offset', () => {
    const error = new RefusedFile(4, 'a YAML tag');
    expect(refusalOf(error, 'a\nb\nc')).toEqual({ refused: 'a YAML tag', line: 3 });
    expect([error.name, error.message]).toEqual(['RefusedFile', 'a YAML tag']);
  });

  it('names no more than the kind of whatever else a parser throws', () => {
    expect(refusalOf(new RangeError('secret'), 'a\nb')).toEqual({ refused: 'cannot be parsed (RangeError)', line: 1 });
    expect(refusalOf('secret', 'a\nb')).toEqual({ refused: 'cannot be parsed (unknown)', line: 1 });
  }); // prettier-ignore
});

describe('the YAML that is read', () => {
  const valueOf = (text: string) => refused(() => plainValue(readYaml(text).contents), text);

  it('is that of version 1.2 with the core schema', () => {
    const read = valueOf('a: yes\nb: true\nc: 010\nd: 0o10\ne: 2001-01-01\nf: ~\ng: [1, "1"]\n');
    expect(read).toEqual({ a: 'yes', b: true, c: 10, d: 8, e: '2001-01-01', f: null, g: [1, '1'] });
    expect(Object.getPrototypeOf(read)).toBeNull();
  });

  it.each([
    ['a: &x 1', 'a YAML anchor'],
    ['a: !!str 1', 'a YAML tag'],
    ['&x a: 1', 'a YAML anchor'],
    ['!!str a: 1', 'a YAML tag'],
    ['a: [*x]', 'a YAML alias'],
    ['<<: {a: 1}', 'a YAML merge key'],
    ['a: 1\na: 2', 'a key that is stated twice'],
    ['1: a', 'a key that is not text'],
    ['? [a]\n: 1', 'a key that is not text'],
  ])('has no such thing: %j', (text, reason) => {
    expect(valueOf(text)).toMatchObject({ refused: reason });
  });

  it('has faults where a strict reader finds them', () => {
    expect(readYaml('a: "b" c\n').errors.length).toBeGreaterThan(0);
    expect(readYaml('a:\n\tb: 1\n').errors.length).toBeGreaterThan(0);
    expect(readYaml('a: 1\na: 2\n').errors).toEqual([]);
  });

  it('has a value for every node, and none for what is no node', () => {
    expect([plainValue(null), plainValue(undefined)]).toEqual([null, null]);
    expect(refused(() => plainValue('text'))).toEqual({ refused: 'not a YAML node', line: 1 });
    expect(isMap(readYaml('a: 1').contents)).toBe(true);
  });

  it('has ten thousand tokens at most, those of other parts of the file counted', () => {
    const line = '- a\n';
    const each = requireFewTokens(line.repeat(2), 0) - requireFewTokens(line, 0);
    const most = Math.floor(10_000 / each) - 1;
    expect(refused(() => requireFewTokens(line.repeat(most), 0))).toBeLessThanOrEqual(10_000);
    expect(refused(() => requireFewTokens(line.repeat(most + 2), 0), line.repeat(most + 2))).toMatchObject({
      refused: 'more than 10000 YAML tokens',
    });
    expect(refused(() => requireFewTokens(line, 7, 10_000), `${'\n'.repeat(7)}${line}`)).toEqual({
      refused: 'more than 10000 YAML tokens',
      line: 8,
    });
  });

  it('leaves the stack traces of other errors as they are', () => {
    const before = Error.stackTraceLimit;
    readYaml('a: "b');
    expect(Error.stackTraceLimit).toBe(before);
  });
});
