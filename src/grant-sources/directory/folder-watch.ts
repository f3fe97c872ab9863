import { stat } from 'node:fs/promises';
import { type FSWatcher, watch } from 'chokidar';

/** Watches the folder and the contents of its folders, and nothing deeper. */
const WATCHED_DEPTH = 1;

/** Notices changes in a folder that may be created, removed and replaced; it does not say what changed. */
export class FolderWatch {
  private watcher: FSWatcher | undefined;
  private watched: string | undefined;

  constructor(
    private readonly dir: string,
    private readonly onChange: () => void,
    private readonly onFault: (error: unknown) => void,
  ) {}

  /**
   * Watches the folder that exists now; resolves when it does, so that nothing that is read afterwards can change
   * unnoticed. @throws the file system's error where there is no folder
   */
  async follow(): Promise<void> {
    const identity = await this.identityNow();
    if (this.watched === identity) return;
    await this.close();
    this.watched = identity;
    // Links are not followed: a Kubernetes mount replaces its `..data` link, which is seen as a change of the link, and a
    // link to a large folder would be crawled.
    const watcher = watch(this.dir, {
      ignoreInitial: true,
      followSymlinks: false,
      ignorePermissionErrors: true,
      depth: WATCHED_DEPTH,
    });
    this.watcher = watcher;
    watcher.on('all', this.onChange);
    // Raw events also report changes that keep the modification time: a restored file, new permissions.
    watcher.on('raw', this.onChange);
    await new Promise<void>((resolve) => {
      watcher.on('ready', resolve);
      watcher.on('error', (error) => {
        this.onFault(error);
        resolve();
      });
    });
  }

  /** Returns the identity of the folder. The watch of a folder that is gone is closed: it does not work again when the folder returns. */
  private async identityNow(): Promise<string> {
    try {
      const { dev, ino } = await stat(this.dir);
      return `${dev}:${ino}`;
    } catch (error: unknown) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const { watcher } = this;
    this.watcher = undefined;
    this.watched = undefined;
    await watcher?.close();
  }
}

interface DebounceTimes {
  /** How long no request must have come before the task runs. */
  readonly quietMs: number;
  /** How long a request waits at most, although more keep coming. */
  readonly maxWaitMs: number;
}

/** Runs a task soon after a burst of requests, never twice at a time; a request during a run brings another run. */
export class DebouncedTask {
  private firstRequestMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly task: () => Promise<void>,
    private readonly times: DebounceTimes,
  ) {}

  request(): void {
    if (this.closed) return;
    const nowMs = performance.now();
    this.firstRequestMs ??= nowMs;
    const latestMs = this.firstRequestMs + this.times.maxWaitMs - nowMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), Math.max(0, Math.min(this.times.quietMs, latestMs)));
    this.timer.unref();
  }

  /** Runs the task now, or right after a run that is under way. */
  run(): Promise<void> {
    clearTimeout(this.timer);
    this.firstRequestMs = undefined;
    this.running = this.running.then(() => (this.closed ? undefined : this.task()));
    return this.running;
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.running;
  }
}
