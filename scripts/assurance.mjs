// npm run assurance: runs the long forms, one after the other, and writes the figures that they print into docs/assurance.md, each with
// its date and commit. `npm run assurance -- fuzz soak` runs these alone; the figures of the others stay as they are. A form that
// fails changes nothing of its figures, and the exit code is then 1. `-- --list` prints the forms.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

/** What a form prints for each figure, alone on a line. */
const FIGURE = /^figure: (.+?) = (.+)$/gm;

/** The long forms in their order; `script` is that of package.json, `args` come after its `--`. */
const FORMS = [
  {
    name: 'node22',
    script: 'test:nodes',
    args: ['22'],
    shows: 'the service, its smoke test and the end-to-end tests on Node 22',
  },
  {
    name: 'node24',
    script: 'test:nodes',
    args: ['24'],
    shows: 'the service, its smoke test and the end-to-end tests on Node 24',
  },
  {
    name: 'node26',
    script: 'test:nodes',
    args: ['26'],
    shows: 'the service, its smoke test and the end-to-end tests on Node 26',
  },
  {
    name: 'timing',
    script: 'test:timing',
    shows: 'without a grant, a secret that is there and one that is not cannot be told apart by time',
  },
  {
    name: 'model',
    script: 'test:model',
    shows: 'random commands of many apps and users against a simple model, with restarts and faults',
  },
  { name: 'fuzz', script: 'test:fuzz', shows: 'requests of every malformed kind over raw sockets' },
  {
    name: 'audit',
    script: 'test:audit-million',
    shows: 'an edited, cut or reordered audit file of a million records is located in less than 10 s',
  },
  {
    name: 'updates',
    script: 'test:updates',
    shows: 'eight processes update one secret while the service is killed, drained and limited',
  },
  { name: 'crash', script: 'test:crash', shows: 'kill -9 at random points of writes' },
  {
    name: 'mutation',
    script: 'test:mutation',
    shows: 'how many planted faults the tests of authn, authz and the use-cases find',
  },
  { name: 'soak', script: 'test:soak', shows: 'latency, heap and descriptors over half an hour' },
];

const PAGE = join('docs', 'assurance.md');
const [BEGIN, END] = ['<!-- figures: written by npm run assurance -->', '<!-- end of the figures -->'];

/** Runs `npm run <script>`; what it prints goes on to the terminal. Resolves to its exit code and all that it printed. */
function run({ script, args = [] }) {
  const child = spawn('npm', ['run', script, '--', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    const decoder = new StringDecoder('utf8');
    stream.on('data', (chunk) => {
      process.stdout.write(chunk);
      output += decoder.write(chunk);
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

/** The rows of the page, by form: `| form | figure | value | date | commit |`. */
function rowsOf(page) {
  const rows = page
    .slice(page.indexOf(BEGIN), page.indexOf(END))
    .split('\n')
    .filter((line) => /^\| [a-z]/.test(line) && !line.startsWith('| form |'));
  return new Map(FORMS.map(({ name }) => [name, rows.filter((row) => row.startsWith(`| ${name} |`))]));
}

function written(page, rows) {
  const table = [
    '| form | figure | value | date | commit |',
    '|---|---|---|---|---|',
    ...[...rows.values()].flat(),
  ];
  return `${page.slice(0, page.indexOf(BEGIN) + BEGIN.length)}\n\n${table.join('\n')}\n\n${page.slice(page.indexOf(END))}`;
}

const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
const wanted = process.argv.slice(2);
if (wanted.includes('--list')) {
  for (const { name, script, args, shows } of FORMS)
    console.log(
      `${name}\t${['npm run', script, ...(args === undefined ? [] : ['--', ...args])].join(' ')}\t${shows}`,
    );
  process.exit(0);
}
const unknown = wanted.filter((name) => !FORMS.some((form) => form.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no form ${unknown.join(', ')}; there are ${FORMS.map(({ name }) => name).join(', ')}.`,
  );
  process.exit(2);
}

const failed = [];
for (const form of FORMS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  // A form that is not there, or prints nothing, has shown nothing.
  const { code, output } = scripts[form.script] === undefined ? { code: 1, output: '' } : await run(form);
  const figures = [...output.matchAll(FIGURE)].map(([, figure, value]) => ({ figure, value: value.trim() }));
  if (code !== 0 || figures.length === 0) {
    failed.push(form.name);
    continue;
  }
  // The page is no part of what was measured.
  const isChanged = git('status', '--porcelain', '--', '.', `:!${PAGE}`) !== '';
  const of = `${new Date().toISOString().slice(0, 10)} | ${git('rev-parse', '--short=7', 'HEAD')}${isChanged ? ' and changes' : ''}`;
  const page = readFileSync(PAGE, 'utf8');
  const rows = rowsOf(page);
  const cell = (text) => text.replaceAll('|', '\\|');
  rows.set(
    form.name,
    figures.map(({ figure, value }) => `| ${form.name} | ${cell(figure)} | ${cell(value)} | ${of} |`),
  );
  writeFileSync(PAGE, written(page, rows));
}
if (failed.length > 0) console.error(`No figures of: ${failed.join(', ')}. Their earlier ones stay.`);
process.exit(failed.length === 0 ? 0 : 1);
