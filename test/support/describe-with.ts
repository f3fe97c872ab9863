import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { whyNoMemoryCgroup } from '../../scripts/attack/memory-cgroup';
import { whyNoSmallDisk } from './small-disk';

/** Where Debian's packages of Go have their source, as a GOPATH: nothing is downloaded. */
export const DEBIAN_GOPATH = '/usr/share/gocode';
const GO_CRYPTO = `${DEBIAN_GOPATH}/src/golang.org/x/crypto/bcrypt`;

/** The requirements of tests beside Node; each returns why this machine lacks it, or undefined. */
const NEEDS = {
  'redis-server': () =>
    unless('redis-server', ['--version'], 'there is no redis-server in PATH (apt-get install redis-server)'),
  postgresql: () =>
    unless(
      'initdb',
      ['--version'],
      'there is no PostgreSQL (apt-get install postgresql)',
      pathOfPostgresql(),
    ),
  'python3-bcrypt': () =>
    pythonWithBcrypt() === undefined
      ? 'there is no python3 with the package bcrypt (apt-get install python3-bcrypt)'
      : undefined,
  go: () =>
    existsSync(GO_CRYPTO)
      ? unless('go', ['version'], 'there is no Go in PATH (apt-get install golang-go)')
      : 'there is no Go package golang.org/x/crypto (apt-get install golang-golang-x-crypto-dev)',
  age: () => unless('age', ['--version'], 'there is no age in PATH (apt-get install age)'),
  /** Running as another user. */
  root: () => (process.geteuid?.() === 0 ? undefined : 'only root can become another user'),
  /** Of util-linux, as in Debian's essential bsdutils; elsewhere `script` takes other arguments. */
  'pseudo-terminal': () =>
    unless('script', ['-qec', 'true', '/dev/null'], 'script (bsdutils) opens no pseudo-terminal'),
  /** Running as process 1, as in a container. */
  'pid namespace': () =>
    inPidNamespace() === undefined ? 'unshare (util-linux) makes no pid namespace' : undefined,
  /** A memory limit that kills the process, as a pod's does. */
  'memory cgroup': whyNoMemoryCgroup,
  /** A small file system. */
  'small disk': whyNoSmallDisk,
} satisfies Record<string, () => string | undefined>;

type Need = keyof typeof NEEDS;

/** Returns the command that runs another one as process 1: by root's own right, which a chroot leaves, or else in a user namespace. */
export function inPidNamespace(): readonly string[] | undefined {
  return [
    ['unshare', '-pf', '--kill-child'],
    ['unshare', '-rpf', '--kill-child'],
  ].find(([command = '', ...args]) => spawnSync(command, [...args, 'true']).status === 0);
}

/** Undefined until they were looked for, which takes two processes. */
let pythonsWithBcrypt: readonly string[] | undefined;

/** Returns its path. Debian's comes second: a version manager may have put another one first in PATH. */
export function pythonWithBcrypt(): string | undefined {
  pythonsWithBcrypt ??= ['python3', '/usr/bin/python3']
    .map((python) => spawnSync(python, ['-c', 'import bcrypt, sys; print(sys.executable)']))
    .filter(({ status }) => status === 0)
    .map(({ stdout }) => stdout.toString().trim());
  return pythonsWithBcrypt[0];
}

/** Describes a suite, or skips it where this machine lacks a requirement, with the reason in its title. */
export function describeWith(need: Need, title: string, suite: () => void): void {
  const reason = NEEDS[need]();
  if (reason === undefined) describe(title, suite);
  else describe.skip(titleOf(title, reason), suite);
}

/** Declares a test in the same way. */
export function itWith(need: Need, title: string, test: () => Promise<void>): void {
  const reason = NEEDS[need]();
  if (reason === undefined) it(title, test);
  else it.skip(titleOf(title, reason), test);
}

/** skipped-tests.reporter.js reads the reason from here. */
function titleOf(title: string, reason: string): string {
  return `${title} [skipped: ${reason}]`;
}

function unless(
  program: string,
  args: readonly string[],
  reason: string,
  PATH = process.env['PATH'],
): string | undefined {
  const env = { ...process.env, PATH };
  return spawnSync(program, args, { stdio: 'ignore', env }).status === 0 ? undefined : reason;
}

/** Returns PATH with the folders in which Debian has the programs that make and run a database. */
export function pathOfPostgresql(): string {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).map((version) => `${root}/${version}/bin`) : [];
  return [process.env['PATH'] ?? '', ...versions].join(':');
}
