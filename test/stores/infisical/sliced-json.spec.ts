import { parseSlicedJson } from '../../../src/stores/infisical/transport/answer-body';

const item = (at: number, length = 300): object => ({
  name: `s${at}`,
  value: `${'\\"}],[{'.repeat(3)} ü ${'x'.repeat(length)}\\`,
  tags: [{ at }, [], ','],
});
const items = (count: number, length?: number): object[] =>
  Array.from({ length: count }, (_, at) => item(at, length));
const lists = (count: number, ofItems: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, items(ofItems)]));

describe('JSON that is parsed in slices', () => {
  it.each([
    ['a long list', { secrets: items(5_000) }],
    ['few items that are long', { secrets: items(6, 400_000), imports: [] }],
    [
      'several lists, and more beside them',
      { a: 1, secrets: items(3_000), b: { c: [1] }, imports: items(900), d: [] },
    ],
    ['lists of lists', { rows: items(2_000).map((one) => [one]) }],
    ['no list in the outermost object', { data: { secrets: items(2_000) } }],
    ['a list as a whole', items(200)],
    ['a long text', { text: 'x'.repeat(300_000), note: 'y'.repeat(300_000) }],
    ['a short object', { secrets: [1] }],
    ['a short list of lists', [[[1]]]],
  ])('is what JSON.parse makes of it: %s', async (_, value) => {
    for (const text of [JSON.stringify(value), ` ${JSON.stringify(value, null, 1)}\n`])
      expect(await parseSlicedJson(Buffer.from(text))).toEqual(value);
  });

  it('is undefined where it is no JSON, wherever it is broken', async () => {
    const good = JSON.stringify({ secrets: items(2_000), imports: items(2) });
    const broken = [
      good.slice(0, -1),
      good.slice(0, 400_000),
      good.replace('},{', '},,{'),
      good.replace('],"imports"', ',],"imports"'),
      good.replace('"secrets":[', '"secrets":[,'),
      good.replace('],"imports"', '},"imports"'),
      good.replace('"imports":', '"imports"'),
      `${good}]`,
      `${good.slice(0, 300_000)}\0${good.slice(300_000)}`,
    ];
    for (const text of broken) {
      expect(() => JSON.parse(text) as unknown).toThrow();
      expect(await parseSlicedJson(Buffer.from(text))).toBeUndefined();
    }
  });

  // JSON.parse takes 0.1 to 1.3 s for each of these.
  const MANY = 1_000_000;
  it.each([
    ['lists in lists', '['.repeat(MANY) + ']'.repeat(MANY)],
    ['lists in lists of an object', `{"a":${'['.repeat(MANY)}${']'.repeat(MANY)}}`],
    ['lists in lists of a list', `{"a":[${'['.repeat(MANY)}${']'.repeat(MANY)}]}`],
    ['objects in objects', `${'{"a":'.repeat(MANY)}1${'}'.repeat(MANY)}`],
    ['items of no list', `{"a":{"b":[${'[],'.repeat(MANY)}1]}}`],
    ['fields of one item', `{"a":[{${'"b":1,'.repeat(MANY)}"c":1}]}`],
    ['fields behind a list', `{"a":[1],"b":{${'"b":1,'.repeat(MANY)}"c":1}}`],
    ['a list that does not end', `{"a":[${'[],'.repeat(MANY)}`],
    ['lists that do not end', `{"a":[1],"b":[${'[],'.repeat(MANY)}`],
    ['a large list as a whole', JSON.stringify(items(2_000))],
  ])(
    'is undefined where it is large and no answer of Infisical, and none of it is parsed: %s',
    async (_, text) => {
      const parse = jest.spyOn(JSON, 'parse');
      const parsed = await parseSlicedJson(Buffer.from(text));
      const calls = parse.mock.calls.length;
      parse.mockRestore();
      expect([parsed, calls]).toEqual([undefined, 0]);
    },
  );

  it.each<[string, unknown, number]>([
    ['one large list', { secrets: items(10_000) }, 20],
    ['many lists, none of them as large as what is parsed at once', lists(64, 200), 80],
  ])('lets others go on in between, with %s', async (_, answer, leastTurns) => {
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await parseSlicedJson(Buffer.from(JSON.stringify(answer)));
    isDone = true;
    expect(turns).toBeGreaterThan(leastTurns);
  });
});
