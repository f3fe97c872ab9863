// The first step of `npm test`: installs the servers and languages that tests start beside Node, where they are missing and may be installed
// without asking: by root, or where sudo wants no password. Elsewhere the tests that need them are skipped (test/support/describe-with.ts);
// in CI, where none may be, this fails at once. With arguments it sees to these packages alone.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

const APT_GET = [
  'apt-get',
  '-qq',
  '-o',
  'DPkg::Lock::Timeout=60',
  '-o',
  'Acquire::Retries=1',
  '-o',
  'Acquire::http::Timeout=30',
];
/** Nobody is asked, and the package's own server is not started where no systemd is. */
const QUIETLY = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1'];
const IN_CI = !['', '0', 'false', undefined].includes(process.env.CI);

/** Undefined where it succeeded, else the last that it said. It has no terminal to ask on, and five minutes. */
function failure([command, ...args]) {
  const { error, status, stderr } = spawnSync(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (error !== undefined) return error.code ?? 'it did not start';
  return status === 0 ? undefined : (stderr.trim().split('\n').at(-1) ?? '');
}

const runs = (...command) => failure(command) === undefined;

const POSTGRESQL = '/usr/lib/postgresql';

/** By Debian's package: who needs it, and whether it is there. */
const NEEDED = {
  'redis-server': { by: 'The tests of replicas', isThere: () => runs('redis-server', '--version') },
  postgresql: {
    by: "The tests of the predecessor's database",
    // Debian has the programs that make a database outside of PATH.
    isThere: () =>
      runs('initdb', '--version') || (existsSync(POSTGRESQL) && readdirSync(POSTGRESQL).length > 0),
  },
  'python3-bcrypt': {
    by: 'The tests of the Python client',
    isThere: () => ['python3', '/usr/bin/python3'].some((python) => runs(python, '-c', 'import bcrypt')),
  },
  'golang-go': { by: 'The tests of the Go client', isThere: () => runs('go', 'version') },
  'golang-golang-x-crypto-dev': {
    by: 'The tests of the Go client',
    isThere: () => existsSync('/usr/share/gocode/src/golang.org/x/crypto/bcrypt'),
  },
  age: { by: 'The tests of encrypted archives', isThere: () => runs('age', '--version') },
};

function asRoot() {
  if (process.geteuid?.() === 0) return [];
  return failure(['sudo', '-n', 'true']) === undefined ? ['sudo', '-n'] : undefined;
}

/** Returns why the package is not there in the end. */
function install(name, { by, isThere }) {
  if (!runs('apt-get', '--version')) return 'there is no apt-get to install it with';
  const root = asRoot();
  if (root === undefined) return 'only root, or sudo without a password, may install it';
  console.log(`${by} need ${name}: installing Debian's package of that name with apt-get.`);
  const install = [...root, ...QUIETLY, ...APT_GET, 'install', '-y', '--no-install-recommends', name];
  let failed = failure(install);
  if (failed !== undefined) {
    // A fresh machine has no list of packages, or an old one; one source that does not answer is no reason to give up.
    failure([...root, ...QUIETLY, ...APT_GET, 'update']);
    failed = failure(install);
  }
  if (failed !== undefined) return `apt-get failed: ${failed}`;
  // The tests start their own; a machine with systemd has started this one.
  if (existsSync('/run/systemd/system')) failure([...root, 'systemctl', 'disable', '--now', name]);
  return isThere() ? undefined : 'it is not in PATH';
}

const asked = process.argv.slice(2);
for (const [name, needed] of Object.entries(NEEDED)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const why = needed.isThere() ? undefined : install(name, needed);
  if (why === undefined) continue;
  const then = IN_CI ? 'and in CI no test may be skipped' : 'so the tests that start one are skipped';
  console.log(`${name} is missing (${why}), ${then}; on Debian: apt-get install ${name}`);
  if (IN_CI) process.exitCode = 1;
}
