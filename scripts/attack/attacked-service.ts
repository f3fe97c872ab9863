import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { MemoryCgroup, type MemoryUse } from './memory-cgroup';

/** The memory limit of the chart, which sets neither the heap nor the threads of Node. */
export const LIMIT_MIB = 320;

/** What the image starts Node with, as far as it bears on load. */
const NODE_FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=100'];

const START_WITHIN_MS = 20_000;
const SAMPLE_EVERY_MS = 25;
const KEPT_OUTPUT = 4_000;

let made = 0;

/** The built service as a process under the pod's memory limit, with the figures that an operator sees. */
export class AttackedService {
  #tail = '';
  #ports: { readonly port: number; readonly metricsPort: number } | undefined;
  #highest: MemoryUse = { ownMib: 0, kernelMib: 0, socketsMib: 0 };
  #highestMib = 0;
  #ending = '';
  readonly #child: ChildProcess;
  readonly #sampling: NodeJS.Timeout;
  readonly #ended: Promise<void>;
  readonly #kill = (): void => void this.#child.kill('SIGKILL');

  private constructor(
    main: string,
    settings: Readonly<Record<string, string>>,
    readonly group: MemoryCgroup,
  ) {
    const [shell, args] = group.entering;
    this.#child = spawn(shell, [...args, process.execPath, ...NODE_FLAGS, main], {
      env: { PATH: process.env['PATH'] ?? '', ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    preferred(this.#child.pid);
    // The service does not notice when this process ends.
    process.once('exit', this.#kill);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#ended = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        this.#ending = signal ?? `code ${code}`;
        clearInterval(this.#sampling);
        resolve();
      }),
    );
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_EVERY_MS);
  }

  /** @throws NoMemoryCgroup, or an error with the last of what it printed where it does not start */
  static async start(main: string, settings: Readonly<Record<string, string>>): Promise<AttackedService> {
    const group = MemoryCgroup.make(`olares-secret-provider-${process.pid}-${made++}`, LIMIT_MIB);
    const service = new AttackedService(main, settings, group);
    for (const endMs = performance.now() + START_WITHIN_MS; service.#ports === undefined;) {
      if (service.hasEnded || performance.now() > endMs) {
        const { output } = service;
        await service.end();
        throw new Error(`the service did not start: ${output}`);
      }
      await pause(20);
    }
    return service;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get port(): number {
    return this.#ports?.port ?? 0;
  }

  get metricsPort(): number {
    return this.#ports?.metricsPort ?? 0;
  }

  get hasEnded(): boolean {
    return this.#ending !== '';
  }

  /** The signal or code with which the process ended; `OOM` where the memory limit or the end of V8's heap was the reason. */
  get ending(): string | undefined {
    if (!this.hasEnded) return undefined;
    const isOutOfMemory = this.group.kills() > 0 || /heap out of memory|Allocation failed/.test(this.#tail);
    if (isOutOfMemory) return `OOM (${this.#ending})`;
    return `${this.#ending}, having said: ${this.#tail.trim().split('\n').slice(-3).join(' ').slice(-600)}`;
  }

  /** The end of its output. */
  get output(): string {
    return this.#tail;
  }

  /** Returns the most memory in use since the last call, in all and by kind, by samples every 25 ms. */
  takeHighest(): MemoryUse & { readonly allMib: number } {
    const highest = { ...this.#highest, allMib: this.#highestMib };
    this.#highest = { ownMib: 0, kernelMib: 0, socketsMib: 0 };
    this.#highestMib = 0;
    return highest;
  }

  descriptors(): number {
    const folder = `/proc/${this.#child.pid}/fd`;
    return existsSync(folder) ? readdirSync(folder).length : 0;
  }

  cpuMs(): number {
    const file = `/proc/${this.#child.pid}/stat`;
    if (!existsSync(file)) return NaN;
    const fields = readFileSync(file, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Returns the value of a metric; undefined while the service does not answer. */
  async metric(series: string): Promise<number | undefined> {
    const text = await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(5_000),
    }).then((answer) => answer.text(), () => undefined); // prettier-ignore
    const line = text?.split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  async end(): Promise<void> {
    this.#kill();
    process.off('exit', this.#kill);
    await this.#ended;
    this.group.remove();
  }

  #read(chunk: Buffer): void {
    this.#tail = (this.#tail + chunk.toString('latin1')).slice(-KEPT_OUTPUT);
    if (this.#ports !== undefined) return;
    const line = /^\{.*"msg":"listening".*\}$/m.exec(this.#tail)?.[0];
    if (line !== undefined) this.#ports = JSON.parse(line) as { port: number; metricsPort: number };
  }

  #sample(): void {
    const use = this.group.use();
    const highest = this.#highest;
    this.#highest = {
      ownMib: Math.max(highest.ownMib, use.ownMib),
      kernelMib: Math.max(highest.kernelMib, use.kernelMib),
      socketsMib: Math.max(highest.socketsMib, use.socketsMib),
    };
    this.#highestMib = Math.max(this.#highestMib, use.ownMib + use.kernelMib + use.socketsMib);
  }
}

/**
 * Gives a process precedence over others, where that is allowed. Where the kernel schedules by sessions, the process must lead one
 * (`detached`), and the weight is the session's.
 */
export function preferred(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, -10);
    writeFileSync(`/proc/${pid}/autogroup`, '-10');
  } catch {
    // Only root may do that, and not on every machine.
  }
}
