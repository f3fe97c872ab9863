import type { Command } from 'commander';
import type { CheckResult } from '../doctor/checks';
import { UsageError } from '../../errors/operator-errors';
import { printableJson, printableLine } from '../console';

interface DoctorArguments {
  readonly json?: boolean;
  readonly timeout: string;
}

const DESCRIPTION = `Checks what the service needs, with the service's own settings and connections, and says what to do.

Nothing is changed: Infisical, the API server, LLDAP and Redis are asked by reads alone. No secret, token or key is printed.`;

const AFTER_HELP = `
Exit codes: 0 nothing fails (warnings may be there), 1 something fails.
In a cluster: kubectl exec deploy/<name> -- node dist/cli/olares-secrets.js doctor`;

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('check configuration, Infisical, cluster, LLDAP, Redis, clock, certificates and disk')
    .description(DESCRIPTION)
    .option('--json', 'print the results as a JSON array')
    .option('--timeout <seconds>', 'how long each check may take', '5')
    .addHelpText('after', AFTER_HELP)
    .action(doctor);
}

async function doctor({ json = false, timeout }: DoctorArguments): Promise<void> {
  if (!/^\d{1,3}(\.\d)?$/.test(timeout) || Number(timeout) < 0.1)
    throw new UsageError('--timeout must be a number of seconds from 0.1 to 999.');
  const { examine } = await import('../doctor/examine.js');
  const results = await examine(process.env, Number(timeout) * 1000);
  process.stdout.write(json ? `${printableJson(results, 2)}\n` : textOf(results));
  process.exitCode = results.some(({ state }) => state === 'fail') ? 1 : 0;
  // A check that was given up may still wait for a socket.
  setImmediate(() => process.exit());
}

const COLORS = { ok: 32, warn: 33, fail: 31, skip: 90 } as const;

function textOf(results: readonly CheckResult[]): string {
  const isColored = process.stdout.isTTY && process.stdout.hasColors();
  const width = Math.max(...results.map(({ check }) => check.length));
  const lines = results.map(({ state, check, sentence }) => {
    const word = state.padEnd(4);
    return `${isColored ? `\u001b[${COLORS[state]}m${word}\u001b[39m` : word}  ${check.padEnd(width)}  ${printableLine(sentence)}\n`;
  });
  return lines.join('');
}
