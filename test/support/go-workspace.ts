import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { DEBIAN_GOPATH } from './describe-with';

export interface GoWorkspace {
  /** Where the program of a package is; built by the first call. @throws with what the compiler printed */
  readonly program: (name: string) => Promise<string>;
  /** Runs the go command. @throws with what it printed where it fails */
  readonly command: (...args: readonly string[]) => Promise<string>;
}

/**
 * Makes a GOPATH with these packages, each a list of files, in a folder that goes with the process. GOPATH mode takes Debian's source of
 * bcrypt, where modules would be downloaded.
 */
export function goWorkspace(packages: Readonly<Record<string, readonly string[]>>): GoWorkspace {
  const root = mkdtempSync(join(tmpdir(), 'go-workspace-'));
  process.once('exit', () => rmSync(root, { recursive: true, force: true }));
  for (const [name, files] of Object.entries(packages)) {
    mkdirSync(join(root, 'src', name), { recursive: true });
    for (const file of files) copyFileSync(file, join(root, 'src', name, basename(file)));
  }
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOFLAGS: '',
    GOPATH: `${root}:${DEBIAN_GOPATH}`,
    // A container may have no home.
    GOCACHE: process.env['GOCACHE'] ?? join(tmpdir(), 'go-build-cache'),
    CGO_ENABLED: '0',
  };
  const command = async (...args: readonly string[]): Promise<string> => {
    try {
      return (await promisify(execFile)('go', args, { env, cwd: root })).stdout;
    } catch (error: unknown) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      throw new Error(`go ${args.join(' ')}: ${stdout}${stderr}`);
    }
  };
  const built = new Map<string, Promise<string>>();
  const build = async (name: string): Promise<string> => {
    const file = join(root, `${name}-program`);
    await command('build', '-o', file, name);
    return file;
  };
  const program = (name: string): Promise<string> => {
    const making = built.get(name) ?? build(name);
    built.set(name, making);
    return making;
  };
  return { program, command };
}
