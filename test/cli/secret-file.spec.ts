import type { Secret } from '../../src/client/index';
import { CommandFailure } from '../../src/cli/console';
import { formatSecrets, parseSecrets, type TextFormat } from '../../src/cli/files/secret-file';
import { isSecretName, isSecretValue, MAX_VALUE_BYTES } from '../../src/secrets/secret';
import fc from '../support/fast-check';

const FORMATS: readonly TextFormat[] = ['dotenv', 'json', 'yaml'];
const one = (format: TextFormat, text: string) => {
  try {
    return parseSecrets(format, text, 'file');
  } catch (error: unknown) {
    if (!(error instanceof CommandFailure)) throw error;
    return [error.exitCode, error.message];
  }
};
const written = (format: TextFormat, secrets: readonly Secret[]) => {
  try {
    return formatSecrets(format, secrets);
  } catch (error: unknown) {
    if (!(error instanceof CommandFailure)) throw error;
    return [error.exitCode, error.message];
  }
};
const pair = (name: string, value: string): Secret => ({ name, value });

/** Values and names that readers like to take for something else. */
const HARD = [
  '', ' ', ' a ', '\t', '\n', 'a\n', '\na', '\r', '\r\n', 'a\rb', "'", '"', '`', `'"\``, '#', 'a #b', 'a#b', '$HOME', '${A}', '$(id)', '\\', 'a\\', '\\n', 'a\\nb', "\\'",
  'true', 'no', 'null', '~', '0', '0x1f', '1e3', '2001-01-01', '.inf', '<<', '=', '- a', '? a', '&a', '*a', '!a', '!!str a', '|', '>', '@a', '%a', '---', '...', '--- a', '{', '[a]', 'a: b', ': ',
  '__proto__', 'constructor', 'toString', '\u{1f511}', '\u00e9', 'e\u0301', '\u2028', '\u2029', '\u0085', '\ufeff', '\ufeffa', '\u007f', '\u0001', '\u001b[31m', '\u202e', '\u200b',
  '-----BEGIN KEY-----\nAbC+/=\n-----END KEY-----\n', '{"a":"it\'s"}', 'export A=b', 'A=b\nB=c', "'a'\nB='c'", '"a"\n"b"', '{{ .Values }}',
]; // prettier-ignore

const hard = fc.constantFrom(...HARD);
const text = fc.oneof(hard, fc.string({ unit: 'binary', maxLength: 12 }), fc.array(hard, { maxLength: 4 }).map((parts) => parts.join(''))); // prettier-ignore
const secrets = fc
  .uniqueArray(
    fc.record({
      name: fc.oneof(fc.stringMatching(/^[\w.-]{1,8}$/), text).filter(isSecretName),
      value: text.filter(isSecretValue),
    }),
    { selector: ({ name }) => name, maxLength: 8 },
  )
  .map((all) => all.map(({ name, value }) => pair(name, value)));

describe('a file of secrets', () => {
  it.each(['json', 'yaml'] as const)(
    'holds as %s every secret that the service takes, byte for byte',
    (format) => {
      fc.assert(
        fc.property(secrets, (all) => expect(one(format, formatSecrets(format, all))).toEqual(all)),
        {
          numRuns: 200,
        },
      );
    },
  );

  it('holds as dotenv each secret byte for byte, or refuses it by name', () => {
    let held = 0;
    fc.assert(
      fc.property(secrets, (all) => {
        for (const secret of all) {
          const file = written('dotenv', [secret]);
          if (typeof file !== 'string') {
            expect(file).toEqual([1, expect.stringContaining(JSON.stringify(secret.name))]);
            continue;
          }
          held += 1;
          expect(one('dotenv', file)).toEqual([secret]);
        }
        const fitting = all.filter((secret) => typeof written('dotenv', [secret]) === 'string');
        expect(one('dotenv', formatSecrets('dotenv', fitting))).toEqual(fitting);
      }),
      { numRuns: 200 },
    );
    expect(held).toBeGreaterThan(200);
  });

  it.each(FORMATS)(
    'is taken as %s from other programs, with their line ends and byte order mark',
    (format) => {
      const file = {
        dotenv: "# comment\n\nexport A=one # more\n  B = \"two\\nlines\"\nC='#3'\nD=`it's`\nE=\nF=it's $5",
        json: '{"A":"one", "B":"two\\nlines", "C" : "#3", "D":"it\'s", "E":"", "F":"it\'s $5"}',
        yaml: '# comment\nA: one # more\nB: |-\n  two\n  lines\n"C": "#3"\nD: it\'s\nE: !!str\nF: it\'s $5\n',
      }[format];
      const expected = [pair('A', 'one'), pair('B', 'two\nlines'), pair('C', '#3'), pair('D', "it's"), pair('E', ''), pair('F', "it's $5")]; // prettier-ignore
      expect(one(format, file)).toEqual(expected);
      expect(one(format, `\ufeff${file.replaceAll('\n', '\r\n')}`)).toEqual(expected);
    },
  );

  it.each([
    ['blank lines', '\n'.repeat(200_000), []],
    [
      'a line of spaces before what is no comment',
      `A=a${' '.repeat(200_000)}b#c`,
      [3, expect.stringMatching(/^file:1 /)],
    ],
    [
      'quotes that a line does not end with',
      "A='b'c\n".repeat(50_000),
      [3, expect.stringMatching(/^file:1 /)],
    ],
  ])('is read as dotenv in a time that grows with its length: %s', (_, text, expected) => {
    const before = process.cpuUsage();
    expect(one('dotenv', text)).toEqual(expected);
    // A hundredth of it is enough; the square of the length takes minutes.
    expect(process.cpuUsage(before).user).toBeLessThan(5_000_000);
  });

  it('names every secret of a dotenv file that it cannot hold, and the formats that can', () => {
    const all = [
      pair('GOOD', 'a'),
      pair('a b', 'a'),
      pair('CR', '\r'),
      pair('BOTH', `'"`),
      pair('END', 'a b\\'),
    ];
    expect(written('dotenv', all)).toEqual([
      1,
      'Nothing was written, but json, yaml and age hold every secret:\n  "a b" cannot be written as dotenv.\n' +
        '  "CR" cannot be written as dotenv.\n  "BOTH" cannot be written as dotenv.\n  "END" cannot be written as dotenv.',
    ]);
  });

  it.each<[TextFormat, string]>([
    ['dotenv', 'A=1\nB=2\nA=3\n'],
    ['dotenv', 'A=1\nB=2\nexport A=1\n'],
    ['json', '{"A":"1","B":"A","A":"3"}'],
    ['json', '{"A":"1","B":"A","\\u0041":"3"}'],
    ['json', '{"A":{"B":1},"B":"2","A":"3"}'],
    ['yaml', 'A: a\nB: A\nA: a\n'],
    ['yaml', 'A: a\nB: A\n"\\x41": a\n'],
  ])('is refused as %s where it states a name twice: %j', (format, file) => {
    expect(one(format, file)).toEqual([
      1,
      'file is refused, and nothing was stored:\n  "A" is stated twice.',
    ]);
  });

  it.each<[TextFormat, string]>([
    ['json', '{"A":1,"B":null,"C":["x"],"D":"x"}'],
    ['yaml', 'A: 0123\nB:\nC: [x]\nD: x\n'],
    ['yaml', 'A: true\nB: &b 1\nC: *b\nD: x\n'],
    ['yaml', 'A: !own x\nB: 2001-01-01T00:00:00Z\nC: {x: y}\nD: x\n'.replace('2001-01-01T00:00:00Z', '~')],
  ])('is refused as %s where a value is not text, with all names: %j', (format, file) => {
    const reasons = ['A', 'B', 'C'].map(
      (name) => `\n  "${name}" has a value that is not text; text stands in quotes.`,
    );
    expect(one(format, file)).toEqual([1, `file is refused, and nothing was stored:${reasons.join('')}`]);
  });

  it('is refused where the service would refuse a name or a value, with all of them', () => {
    const file = JSON.stringify({
      ' a': 'x',
      [`n${'a'.repeat(100)}`]: 'x',
      nul: 'a\0b',
      lone: '\ud800',
      large: 'x'.repeat(MAX_VALUE_BYTES + 1),
      largest: 'x'.repeat(MAX_VALUE_BYTES),
    });
    const [exitCode, message] = one('json', file) as [number, string];
    expect(exitCode).toBe(1);
    expect(message.split('\n').slice(1).map((line) => /"(.{1,7})/.exec(line)?.[1])).toEqual([
      ' a" can', 'naaaaaa', 'nul" ha', 'lone" h', 'large" ',
    ]); // prettier-ignore
    expect(message).toContain('at most 524288 bytes');
  });

  const CANARY = 'canary-71c2';
  it.each<[TextFormat, string, string]>([
    ['dotenv', `A=1\n${CANARY}\n`, ':2'],
    ['dotenv', `A=pass#${CANARY}\n`, ':1'],
    ['dotenv', `A='${CANARY}\nB=2\n`, ':1'],
    ['dotenv', `A="${CANARY}\\"\nB="x"\n`, ':1'],
    ['dotenv', `A=1\n__proto__=${CANARY}\n`, ':2'],
    ['json', `{"A":\n"${CANARY}",}`, ''],
    ['json', `{"A": ${CANARY}}`, ''],
    ['json', `["${CANARY}"]`, ''],
    ['json', `"${CANARY}"`, ''],
    ['json', '', ''],
    ['yaml', `A: a\nB: "${CANARY}\n`, ''],
    ['yaml', `A: a\nB: "\\q${CANARY}"\n`, ''],
    ['yaml', `A: a\ntrue: ${CANARY}\n`, ':2'],
    ['yaml', `- ${CANARY}\n`, ''],
    ['yaml', `A: a\n---\nB: ${CANARY}\n`, ''],
    ['yaml', `A: ${'['.repeat(20_000)}`, ''],
  ])('is refused as %s without a word of a value where it is none (%#)', (format, file, place) => {
    const [exitCode, message] = one(format, file) as [number, string];
    expect([exitCode, message]).toEqual([
      3,
      expect.stringMatching(new RegExp(`^file${place}[^ ]* is not ${format} as it must be: `)),
    ]);
    expect(message).not.toContain(CANARY);
  });

  it('may be empty', () => {
    expect([one('dotenv', ''), one('json', '{}'), one('yaml', ''), one('yaml', '# none\n')]).toEqual([
      [],
      [],
      [],
      [],
    ]);
    expect(FORMATS.map((format) => one(format, formatSecrets(format, [])))).toEqual([[], [], []]);
  });
});
