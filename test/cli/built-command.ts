import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

export const MAIN = resolve(__dirname, '../../dist/cli/olares-secrets.js');

interface Given {
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs the built program as its user does, to its end. Nothing of the environment but PATH gets into it. */
export function builtCommand(args: readonly string[], { cwd, input = '', env = {} }: Given = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    ...(cwd !== undefined && { cwd }),
    input,
    env: { PATH: process.env['PATH'], ...env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status, stdout, stderr };
}
