import { stat } from 'node:fs/promises';
import { type FSWatcher, watch } from 'chokidar';

interface Pace {
  /** How long it must have been quiet. */
  readonly quietMs: number;
  /** How long a nudge waits at most, although it never gets quiet. */
  readonly atMostMs: number;
}

/** Runs a task soon after a burst of nudges, never twice at a time; a nudge during a run brings another one. */
export class DebouncedTask {
  private firstNudgeMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly task: () => Promise<void>,
    private readonly pace: Pace,
  ) {}

  nudge(): void {
    if (this.closed) return;
    const nowMs = performance.now();
    this.firstNudgeMs ??= nowMs;
    const latestMs = this.firstNudgeMs + this.pace.atMostMs - nowMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), Math.max(0, Math.min(this.pace.quietMs, latestMs)));
    this.timer.unref();
  }

  /** Runs now, behind a run that is under way. */
  run(): Promise<void> {
    clearTimeout(this.timer);
    this.firstNudgeMs = undefined;
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

/** The folder and what is in its folders; no deeper. */
const WATCHED_DEPTH = 1;

/** Notices changes in a folder that may come, go and be replaced. What changed is for the reader to find out. */
export class FolderWatch {
  private watcher: FSWatcher | undefined;
  private watched: string | undefined;

  constructor(
    private readonly dir: string,
    private readonly onChange: () => void,
    private readonly onFault: (error: unknown) => void,
  ) {}

  /**
   * Makes sure that the folder which is there now is watched; resolves when it is, so that whatever is read
   * afterwards cannot change unnoticed. @throws the file system's error where there is no folder
   */
  async follow(): Promise<void> {
    const identity = await this.identityNow();
    if (this.watched === identity) return;
    await this.close();
    this.watched = identity;
    // Links are not followed: a Kubernetes mount swaps its `..data` link, which shows as a change of the link, and a
    // link to somewhere large would be crawled.
    const watcher = watch(this.dir, {
      ignoreInitial: true,
      followSymlinks: false,
      ignorePermissionErrors: true,
      depth: WATCHED_DEPTH,
    });
    this.watcher = watcher;
    watcher.on('all', this.onChange);
    // Also what leaves the modification time as it was: a restored file, new permissions.
    watcher.on('raw', this.onChange);
    await new Promise<void>((resolve) => {
      watcher.on('ready', resolve);
      watcher.on('error', (error) => {
        this.onFault(error);
        resolve();
      });
    });
  }

  /** A folder that went away takes its watch along, also when the very same folder comes back. */
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
