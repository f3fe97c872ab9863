import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { KNOWN_NODE_FLAGS } from '../image/recipe';

const ROOT = resolve(__dirname, '../..');

const FIRST_IMPORT = `require(${JSON.stringify(join(ROOT, 'dist/bootstrap/hardened-process.js'))});`;

/** Runs a script behind the first import of every entry point, with the image's flags of Node; returns what it printed. */
function printedBy(script: string, before = FIRST_IMPORT): unknown {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [...KNOWN_NODE_FLAGS, '-e', `'use strict'; ${before} ${script}; process.exit(0)`],
    { cwd: ROOT, encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  return JSON.parse(stdout) as unknown;
}

/** Prints which of the statements succeeded. */
const attempts = (statements: readonly string[]): string =>
  `const done = [];
  for (const [text, attempt] of [${statements.map((text) => `[${JSON.stringify(text)}, () => { ${text}; }]`).join()}])
    try { attempt(); done.push(text); } catch {}
  console.log(JSON.stringify(done))`;

const ADDITIONS = [
  'Object.prototype.isAdmin = true',
  'Object.prototype[Symbol.toPrimitive] = () => 1',
  'Object.defineProperty(Object.prototype, "isAdmin", { value: true })',
  '({}).constructor.prototype.isAdmin = true',
  'Array.prototype[7] = "seven"',
  'Function.prototype.user = "root"',
  'Error.prototype.status = 200',
  'Promise.prototype.cancel = () => 1',
  'Object.getPrototypeOf([][Symbol.iterator]()).return = () => ({})',
  'Object.setPrototypeOf(Array.prototype, { isAdmin: true })',
];
const REPLACEMENTS = [
  'JSON.parse = () => ({ user: "root" })',
  'Array.prototype.includes = () => true',
  'Map.prototype.get = () => ({})',
  'RegExp.prototype.test = () => true',
  'String.prototype.startsWith = () => true',
  'Object.keys = () => []',
  'Object.defineProperty(Object.getPrototypeOf(Buffer.prototype), "fill", { value: () => 1 })',
  'Object.getPrototypeOf(Uint8Array.prototype).fill = () => 1',
  'Promise.prototype.then = () => 1',
  'delete Object.prototype.hasOwnProperty',
];

describe('in a process of the service, behind its first import', () => {
  it('nothing can add a property that other objects inherit', () => {
    expect(printedBy(attempts(ADDITIONS))).toEqual([]);
  });

  it('nothing can put another function in the place of one that code relies on', () => {
    expect(printedBy(attempts(REPLACEMENTS))).toEqual([]);
  });

  it('nothing but the import refuses these: without it, with the same flags, each succeeds', () => {
    for (const statements of [ADDITIONS, REPLACEMENTS])
      expect(printedBy(attempts(statements), '')).toEqual(statements);
  });

  it('an object has no __proto__ by which its prototype is reached or replaced', () => {
    expect(
      printedBy(
        'const parsed = JSON.parse(\'{"__proto__":{"isAdmin":true}}\'); const copy = {}; for (const key in parsed) copy[key] = parsed[key];' +
          'console.log(JSON.stringify(["__proto__" in {}, copy.isAdmin === undefined, ({}).isAdmin === undefined]))',
      ),
    ).toEqual([false, true, true]);
  });

  it('no code is made of strings', () => {
    expect(
      printedBy(
        attempts([
          '(0, eval)("1")',
          'new Function("return 1")()',
          '(async () => {}).constructor("return 1")()',
          '(function* () {}).constructor("return 1")()',
        ]),
      ),
    ).toEqual([]);
  });

  it('a formatter of dates, which is made when it is first used, formats as that of Node does', () => {
    const options = "'en-GB', { timeZone: 'Asia/Tokyo', dateStyle: 'full', timeStyle: 'long' }";
    const used = (of: string): string =>
      `(() => { const made = ${of}; const { format } = made;
        return [format(0), made.formatToParts(0), made.resolvedOptions(), made instanceof Intl.DateTimeFormat]; })()`;
    const [ours, nodes, wrong] = printedBy(
      `const OwnOfNode = Intl.DateTimeFormat.prototype.constructor;
      const wrong = new Intl.DateTimeFormat('en', { timeZone: 'Nowhere' }); let thrown;
      try { wrong.format(0) } catch (error) { thrown = error.name }
      console.log(JSON.stringify([${used(`new Intl.DateTimeFormat(${options})`)}, ${used(`new OwnOfNode(${options})`)}, thrown]))`,
    ) as readonly unknown[];
    expect(ours).toEqual(nodes);
    expect(JSON.stringify(ours)).toContain('Thursday');
    expect(wrong).toBe('RangeError');
  });

  it('what libraries assign to objects of their own still works', () => {
    const harmless = [
      'const error = new Error("x"); error.name = "Named"; error.constructor = Object',
      'const f = () => 1; f.toString = () => "f"',
      'const plain = {}; plain.toString = () => "plain"; plain.constructor = 1',
      'class Own extends Map { get(key) { return [super.get(key)]; } } new Own().get(1)',
      'Error.prepareStackTrace = undefined; Error.stackTraceLimit = 5',
      'Reflect.metadata = () => 1',
    ];
    expect(printedBy(attempts(harmless))).toEqual(harmless);
  });
});
