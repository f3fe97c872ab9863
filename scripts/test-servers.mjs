// The first step of `npm test`: installs the server that tests start beside Node, where it is missing and may be installed without
// asking: by root, or where sudo wants no password. Elsewhere the tests that need it are skipped (test/support/describe-with.ts); in CI,
// where none may be, this fails at once.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const SERVER = 'redis-server';
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

const isThere = (command) => failure([command, '--version']) === undefined;

function asRoot() {
  if (process.geteuid?.() === 0) return [];
  return failure(['sudo', '-n', 'true']) === undefined ? ['sudo', '-n'] : undefined;
}

/** Why there is no server in the end. */
function install() {
  if (!isThere('apt-get')) return 'there is no apt-get to install it with';
  const root = asRoot();
  if (root === undefined) return 'only root, or sudo without a password, may install it';
  console.log(`The tests of replicas need ${SERVER}: installing Debian's package of that name with apt-get.`);
  const install = [...root, ...QUIETLY, ...APT_GET, 'install', '-y', '--no-install-recommends', SERVER];
  let failed = failure(install);
  if (failed !== undefined) {
    // A fresh machine has no list of packages, or an old one; one source that does not answer is no reason to give up.
    failure([...root, ...QUIETLY, ...APT_GET, 'update']);
    failed = failure(install);
  }
  if (failed !== undefined) return `apt-get failed: ${failed}`;
  // The tests start their own; a machine with systemd has started this one.
  if (existsSync('/run/systemd/system')) failure([...root, 'systemctl', 'disable', '--now', SERVER]);
  return isThere(SERVER) ? undefined : 'it is not in PATH';
}

const why = isThere(SERVER) ? undefined : install();
if (why !== undefined) {
  const then = IN_CI ? 'and in CI no test may be skipped' : 'so the tests that start one are skipped';
  console.log(`${SERVER} is missing (${why}), ${then}; on Debian: apt-get install ${SERVER}`);
  if (IN_CI) process.exitCode = 1;
}
