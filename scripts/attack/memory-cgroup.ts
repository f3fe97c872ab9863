import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MEBIBYTE = 1_048_576;

/** The memory of a group that the kernel cannot reclaim: pages of processes, kernel memory, and socket buffers. */
export interface MemoryUse {
  readonly ownMib: number;
  readonly kernelMib: number;
  readonly socketsMib: number;
}

/** Thrown where no group can be made; the message says why. */
export class NoMemoryCgroup extends Error {}

/** A memory limit as Kubernetes sets it, by cgroup v1 or v2: a process that exceeds it is killed. */
export class MemoryCgroup {
  private constructor(
    private readonly dir: string,
    private readonly version: 1 | 2,
  ) {}

  /** @throws NoMemoryCgroup where this process may not make one */
  static make(name: string, limitMib: number): MemoryCgroup {
    const { dir: parent, version } = hierarchy();
    const group = new MemoryCgroup(join(parent, name), version);
    try {
      if (version === 2 && !read(join(parent, 'cgroup.subtree_control')).includes('memory'))
        writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory');
      mkdirSync(group.dir);
      const limit = String(limitMib * MEBIBYTE);
      if (version === 2) {
        group.#write('memory.max', limit);
        if (existsSync(join(group.dir, 'memory.swap.max'))) group.#write('memory.swap.max', '0');
      } else {
        group.#write('memory.limit_in_bytes', limit);
        // cgroup v1 counts socket buffers only where they have a limit; v2 always does.
        group.#write('memory.kmem.tcp.limit_in_bytes', limit);
      }
      return group;
    } catch (error: unknown) {
      if (existsSync(group.dir)) rmdirSync(group.dir);
      throw new NoMemoryCgroup(`no memory cgroup can be made in ${parent} (${codeOf(error)})`);
    }
  }

  /** The shell command that enters the group and then executes the command line behind it. */
  get entering(): readonly [string, readonly string[]] {
    return ['sh', ['-c', 'echo $$ > "$0" && exec "$@"', join(this.dir, 'cgroup.procs')]];
  }

  use(): MemoryUse {
    const stat = new Map(
      read(join(this.dir, 'memory.stat'))
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
    const mib = (bytes: string | undefined): number => Number(bytes ?? 0) / MEBIBYTE;
    if (this.version === 2) {
      const kernel = stat.get('kernel') ?? stat.get('kernel_stack');
      return { ownMib: mib(stat.get('anon')), kernelMib: mib(kernel), socketsMib: mib(stat.get('sock')) };
    }
    return {
      ownMib: mib(stat.get('total_rss') ?? stat.get('rss')),
      kernelMib: mib(this.#read('memory.kmem.usage_in_bytes')),
      socketsMib: mib(this.#read('memory.kmem.tcp.usage_in_bytes')),
    };
  }

  /** Returns the highest memory use, file caches included, which the kernel reclaims when it must. */
  peakMib(): number {
    const file = this.version === 2 ? 'memory.peak' : 'memory.max_usage_in_bytes';
    return Number(this.#read(file)) / MEBIBYTE;
  }

  /** Returns how many processes were killed by the limit. */
  kills(): number {
    const file = this.version === 2 ? 'memory.events' : 'memory.oom_control';
    return Number(/^oom_kill (\d+)$/m.exec(this.#read(file) ?? '')?.[1] ?? 0);
  }

  /** Removes the group; to be called when its processes have ended. */
  remove(): void {
    rmdirSync(this.dir);
  }

  #read(file: string): string | undefined {
    const path = join(this.dir, file);
    return existsSync(path) ? read(path).trim() : undefined;
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.dir, file), text);
  }
}

/** Returns why no memory cgroup can be made, as the end of a sentence; undefined where one can. */
export function whyNoMemoryCgroup(): string | undefined {
  try {
    MemoryCgroup.make(`olares-secret-provider-trial-${process.pid}`, 64).remove();
    return undefined;
  } catch (error: unknown) {
    if (error instanceof NoMemoryCgroup) return error.message;
    throw error;
  }
}

/** Returns the folder at which the memory controller is mounted. @throws NoMemoryCgroup */
function hierarchy(): { readonly dir: string; readonly version: 1 | 2 } {
  const mounts = existsSync('/proc/self/mountinfo') ? read('/proc/self/mountinfo').split('\n') : [];
  for (const line of mounts) {
    const [before = '', after = ''] = line.split(' - ');
    const dir = before.split(' ')[4] ?? '';
    const [kind, , options = ''] = after.split(' ');
    if (kind === 'cgroup' && options.split(',').includes('memory')) return { dir, version: 1 };
    if (kind === 'cgroup2' && read(join(dir, 'cgroup.controllers')).split(/\s+/).includes('memory'))
      return { dir, version: 2 };
  }
  throw new NoMemoryCgroup('no memory controller of cgroups is mounted here');
}

function read(path: string): string {
  return readFileSync(path, 'utf8');
}

function codeOf(error: unknown): string {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'unknown';
}
