import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import ts from 'typescript';
import { freshFolder } from './vault-under-test';

const ROOT = resolve(__dirname, '../../..');
const SOURCES = [
  'src/stores/embedded',
  'src/secrets',
  'src/time',
  'src/concurrency',
  'src/errors',
  'src/config',
  'src/authz',
  'src/authn',
  'src/json',
  'src/reloadable',
  'src/logging',
  'src/user-deprovisioning',
];
const FILES = [
  'src/cli/rotate-master-key.ts',
  'src/bootstrap/hardened-process.ts',
  'test/stores/embedded/store-child.ts',
  'test/support/store-client.ts',
];

/** The store and its child script as JavaScript in a folder of its own: jest itself cannot start TypeScript. */
export interface Build {
  /** Starts a compiled file; its lines come one by one. */
  start(file: string, args: readonly string[], options?: StartOptions): Child;
  remove(): void;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Of 512 bytes: the largest file that the child can write, as on a full disk. */
  readonly fileBlocks?: number;
  /** The largest heap that it may have. */
  readonly heapMib?: number;
}

export interface Child {
  readonly process: ChildProcess;
  readonly lines: AsyncIterableIterator<string>;
  /** The signal or code that it ended with, and what it said on its error stream. */
  readonly ended: Promise<{
    readonly code: number | null;
    readonly signal: string | null;
    readonly stderr: string;
  }>;
}

export function buildChildren(): Build {
  const folder = freshFolder();
  const inFolders = SOURCES.flatMap((source) =>
    readdirSync(join(ROOT, source), { recursive: true, encoding: 'utf8' }).map((name) => join(source, name)),
  );
  for (const source of [...inFolders.filter((name) => name.endsWith('.ts')), ...FILES]) {
    const target = join(folder.path, source.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, transpiled(join(ROOT, source)));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  return {
    start: (file, args, options = {}) => start(join(folder.path, file), args, options),
    remove: () => folder.remove(),
  };
}

function transpiled(path: string): string {
  const { outputText } = ts.transpileModule(readFileSync(path, 'utf8'), {
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
      experimentalDecorators: true,
    },
  });
  return outputText;
}

function start(
  path: string,
  args: readonly string[],
  { env = {}, fileBlocks, heapMib }: StartOptions,
): Child {
  const limit = fileBlocks === undefined ? '' : `ulimit -f ${fileBlocks}; `;
  const flags = heapMib === undefined ? [] : [`--max-old-space-size=${heapMib}`];
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, ...flags, path, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return {
    process: child,
    lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
    ended: new Promise((ended) => child.on('close', (code, signal) => ended({ code, signal, stderr }))),
  };
}
