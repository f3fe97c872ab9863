import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeWith } from '../support/describe-with';
import { becomes } from '../support/without-privileges';

const SCRIPT = resolve(__dirname, '../../scripts/test-servers.mjs');
const NOBODY = 65_534;
const INSTALLING =
  "The tests of replicas need redis-server: installing Debian's package of that name with apt-get.\n";

/** A machine whose PATH has these programs and no other; `calls` keeps what they were called with. */
class Machine {
  readonly dir = mkdtempSync(join(tmpdir(), 'machine-'));
  readonly #bin = join(this.dir, 'bin');

  constructor() {
    chmodSync(this.dir, 0o777);
    mkdirSync(this.#bin);
    chmodSync(this.#bin, 0o777);
    symlinkSync('/usr/bin/env', join(this.#bin, 'env'));
    copyFileSync(SCRIPT, join(this.dir, 'test-servers.mjs'));
    chmodSync(join(this.dir, 'test-servers.mjs'), 0o644);
  }

  has(program: string, ...lines: readonly string[]): this {
    const log = `echo "${program} $*" >> '${this.dir}/calls'`;
    writeFileSync(join(this.#bin, program), ['#!/bin/sh', log, ...lines, ''].join('\n'));
    // Whatever the umask is: somebody else runs it.
    chmodSync(join(this.#bin, program), 0o755);
    return this;
  }

  /** One that installs, as soon as it has a list of packages. */
  hasAptGet(): this {
    return this.has(
      'apt-get',
      `case "$*" in`,
      `  --version) ;;`,
      `  *update) : > '${this.dir}/list' ;;`,
      `  *) [ -e '${this.dir}/list' ] || { echo 'E: Unable to locate package' >&2; exit 100; }`,
      `     echo "$DEBIAN_FRONTEND" > '${this.dir}/frontend'`,
      `     echo '#!/bin/sh' > '${this.#bin}/redis-server'; /bin/chmod 755 '${this.#bin}/redis-server' ;;`,
      'esac',
    );
  }

  run(by: 'root' | 'nobody', env: Readonly<Record<string, string>> = {}) {
    const args = [
      ...(by === 'root' ? [] : becomes(NOBODY)),
      join(this.dir, 'test-servers.mjs'),
      'redis-server',
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      env: { PATH: this.#bin, ...env },
      encoding: 'utf8',
      timeout: 20_000,
    });
    return { code: status, said: stdout + stderr };
  }

  get calls(): readonly string[] {
    const file = join(this.dir, 'calls');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }
}

describe('the first step of npm test', () => {
  let machine: Machine;
  beforeEach(() => (machine = new Machine()));
  afterEach(() => rmSync(machine.dir, { recursive: true }));

  const sentence = (why: string, then = 'so the tests that start one are skipped'): string =>
    `redis-server is missing (${why}), ${then}; on Debian: apt-get install redis-server\n`;

  it('says and does nothing where redis-server is there', () => {
    machine.has('redis-server').hasAptGet().has('sudo');
    expect(machine.run('nobody')).toEqual({ code: 0, said: '' });
    expect(machine.calls).toEqual(['redis-server --version']);
  });

  it('installs it by sudo where that asks for no password, and says so', () => {
    machine.hasAptGet().has('sudo', 'shift', '"$@"');
    expect(machine.run('nobody')).toEqual({ code: 0, said: INSTALLING });
    expect(
      machine.calls.filter((call) => /^sudo -n env .*DEBIAN_FRONTEND=noninteractive.* -y /.test(call)),
    ).toHaveLength(2);
  });

  it('asks nobody for a password: the tests are skipped then, and in CI that is a failure', () => {
    machine.hasAptGet().has('sudo', 'exit 1');
    const why = 'only root, or sudo without a password, may install it';
    expect(machine.run('nobody')).toEqual({ code: 0, said: sentence(why) });
    const then = 'and in CI no test may be skipped';
    expect(machine.run('nobody', { CI: 'true' })).toEqual({ code: 1, said: sentence(why, then) });
    expect(machine.calls.filter((call) => /apt-get .*install|sudo (?!-n true)/.test(call))).toEqual([]);
  });

  it('goes on where there is no package manager that it knows, and where a package cannot be had', () => {
    expect(machine.run('nobody')).toEqual({
      code: 0,
      said: sentence('there is no apt-get to install it with'),
    });
    machine
      .has('apt-get', '[ "$1" = --version ] || { echo "E: no network" >&2; exit 100; }')
      .has('sudo', 'shift', '"$@"');
    expect(machine.run('nobody')).toEqual({
      code: 0,
      said: INSTALLING + sentence('apt-get failed: E: no network'),
    });
  });

  describeWith('root', 'run by root', () => {
    it('installs it without sudo, once the list of packages is there', () => {
      machine.hasAptGet();
      expect(machine.run('root', { CI: 'true' })).toEqual({ code: 0, said: INSTALLING });
      const work = machine.calls
        .filter((call) => call !== 'apt-get --version')
        .map((call) => call.split(' ').at(-1));
      expect(work).toEqual(['redis-server', 'update', 'redis-server']);
      expect(readFileSync(join(machine.dir, 'frontend'), 'utf8')).toBe('noninteractive\n');
      expect(machine.run('root')).toEqual({ code: 0, said: '' });
    });
  });
});
