import { spawnSync } from 'node:child_process';

/** What a test may need beside Node; each answers why this machine does not have it, or undefined. */
const NEEDS = {
  'redis-server': () => absent('redis-server', 'redis-server'),
  /** Becoming another user. */
  root: () => (process.geteuid?.() === 0 ? undefined : 'only root can become another user'),
  /** A pseudo-terminal. */
  script: () => absent('script', 'bsdutils'),
} satisfies Record<string, () => string | undefined>;

type Need = keyof typeof NEEDS;

/** describe(), or where this machine lacks what the tests need, the same suite skipped, with the reason in its title. */
export function describeWith(need: Need, title: string, suite: () => void): void {
  const reason = NEEDS[need]();
  if (reason === undefined) describe(title, suite);
  else describe.skip(titleOf(title, reason), suite);
}

/** it(), in the same way. */
export function itWith(need: Need, title: string, test: () => Promise<void>): void {
  const reason = NEEDS[need]();
  if (reason === undefined) it(title, test);
  else it.skip(titleOf(title, reason), test);
}

/** skipped-tests.reporter.js reads the reason from here. */
function titleOf(title: string, reason: string): string {
  return `${title} [skipped: ${reason}]`;
}

function absent(program: string, debianPackage: string): string | undefined {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' });
  return error === undefined
    ? undefined
    : `there is no ${program} in PATH (apt-get install ${debianPackage})`;
}
