import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { KNOWN_NODE_FLAGS, ROOT } from '../image/recipe';
import { eventually } from './eventually';

/** A line of the log, with the fields that tests read. */
interface LogLine {
  readonly msg?: string;
  readonly name?: string;
  readonly port?: number;
  readonly metricsPort?: number;
}

export interface ChildServiceOptions {
  /** How many files and sockets it may have open; as many as this process where it is left out. */
  readonly maxDescriptors?: number;
  /** In place of the image's. */
  readonly nodeFlags?: readonly string[];
}

const running = new Set<ChildProcess>();
// The soak uses this class without jest.
if ('afterAll' in globalThis) afterAll(() => running.forEach((child) => child.kill('SIGKILL')));

/** Runs the built service as a process of its own, with the image's flags of Node and only these variables. `npm test` builds it first. */
export class ChildService {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #output = '';
  #ports = { main: 0, metrics: 0 };

  private constructor(env: Readonly<Record<string, string>>, options: ChildServiceOptions) {
    const { maxDescriptors, nodeFlags = KNOWN_NODE_FLAGS } = options;
    const command = [process.execPath, ...nodeFlags, join(ROOT, 'dist/main.js')];
    const limited = ['sh', '-c', `ulimit -n ${maxDescriptors}; exec "$0" "$@"`, ...command];
    const [file = '', ...args] = maxDescriptors === undefined ? command : limited;
    this.#child = spawn(file, args, {
      cwd: ROOT,
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // A test that fails before it ends the process must not leave jest waiting for it.
    this.#child.unref();
    running.add(this.#child);
    this.#child.once('close', () => running.delete(this.#child));
    for (const stream of [this.#child.stdout, this.#child.stderr] as readonly (Socket | null)[])
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString())).unref();
    this.#ended = new Promise((end) => this.#child.once('close', end));
  }

  static async start(
    env: Readonly<Record<string, string>>,
    options: ChildServiceOptions = {},
  ): Promise<ChildService> {
    const service = new ChildService(env, options);
    await service.logs('listening');
    // Once: a test that asks for them with each request would read all of the log each time.
    const { port = 0, metricsPort = 0 } = service.lines('listening')[0] ?? {};
    service.#ports = { main: port, metrics: metricsPort };
    return service;
  }

  /** Everything that was printed. */
  get output(): string {
    return this.#output;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get ports(): { readonly main: number; readonly metrics: number } {
    return this.#ports;
  }

  lines(event: string): readonly LogLine[] {
    return this.#output
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine)
      .filter(({ msg }) => msg === event);
  }

  /** Resolves once the log has so many lines of the event. */
  async logs(event: string, times = 1): Promise<void> {
    await eventually(() => {
      if (this.lines(event).length < times) throw new Error(`no ${event}: ${this.#output}`);
    }, 20_000);
  }

  /** Leaves what the process prints in its pipe, or reads on. */
  readOutput(isRead: boolean): void {
    this.#child.stdout?.[isRead ? 'resume' : 'pause']();
  }

  /** Ends the process as the kernel does when memory runs out. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Ends the process as Kubernetes does, or by another signal; resolves with the exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#ended;
  }
}
