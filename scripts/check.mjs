// `npm run check`: format, lint and types. Lint takes as long as the other two together and has one processor to itself; the others
// run one after the other beside it. Each prints what it found once it has ended, and one that fails leaves exit code 1.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const BIN = 'node_modules/.bin';
const LANES = [
  [{ name: 'lint', command: [`${BIN}/eslint`, '.', '--max-warnings', '0'] }],
  [
    { name: 'types', command: [`${BIN}/tsc`, '--noEmit', '-p', 'tsconfig.json'] },
    { name: 'format', command: [`${BIN}/prettier`, '--check', '.'] },
  ],
];

/** Returns true where the check passed. */
async function passes({ name, command: [program, ...args] }) {
  const startMs = Date.now();
  const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const ended = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? 'passed' : `failed (${signal ?? code})`));
  });
  const seconds = Math.round((Date.now() - startMs) / 1000);
  console.log(`${output}${name}: ${ended} after ${seconds} s`);
  return ended === 'passed';
}

/** Runs all of them, also behind one that fails. */
async function allPass(checks) {
  let passed = true;
  for (const check of checks) passed = (await passes(check)) && passed;
  return passed;
}

const lanes = await Promise.all(LANES.map(allPass));
process.exitCode = lanes.every(Boolean) ? 0 : 1;
