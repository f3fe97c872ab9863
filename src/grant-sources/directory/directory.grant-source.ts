import { stat } from 'node:fs/promises';
import { type FSWatcher, watch } from 'chokidar';
import { errorCodeOf } from '../../errors/domain-error';
import { GrantIndex, type GrantProblem } from '../../authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../authz/grant-source';
import type { LogEvent } from '../../logging/log';
import { GrantLog } from '../grant-log';
import { type AppFolder, type GrantFolders, MANIFEST, readGrantFolders } from './app-folder';

interface DirectoryGrantSourceOptions {
  /** Holds `<folder>/OlaresManifest.yaml` and `<folder>/app.yaml` for each installed app. */
  readonly dir: string;
  readonly log: LogEvent;
}

const DEBOUNCE_TIMES = { quietMs: 100, maxWaitMs: 500 };
/** A folder that cannot be read cannot be watched either, so it is read again soon. */
const RETRY_MS = 500;
/** Finds changes that no watch reports: on network file systems, behind links, on a system without free watches. */
const RESCAN_MS = 10_000;

/** Reads grants from a folder of manifests, again whenever something in it changes. */
export class DirectoryGrantSource extends GrantSource {
  protected index = new GrantIndex();
  private folders: ReadonlyMap<string, AppFolder> = new Map();
  private problems: readonly GrantProblem[] = [];
  private timer: NodeJS.Timeout | undefined;
  private watchFault: string | undefined;
  private readonly watch: FolderWatch;
  private readonly reloading = new DebouncedTask(() => this.reload(), DEBOUNCE_TIMES);
  private readonly log: GrantLog;

  private constructor(private readonly options: DirectoryGrantSourceOptions) {
    super();
    this.log = new GrantLog(options.log);
    const onFault = (error: unknown) => this.onWatchFault(errorCodeOf(error) ?? 'unknown');
    this.watch = new FolderWatch(options.dir, () => this.reloading.request(), onFault);
  }

  /** Resolves after the first reading; without the folder the source is not ready until the folder appears. */
  static async open(options: DirectoryGrantSourceOptions): Promise<DirectoryGrantSource> {
    const source = new DirectoryGrantSource(options);
    await source.reloading.run();
    return source;
  }

  override problemsOf(user: string, app: string): readonly GrantProblem[] {
    const own = [...this.folders.values()].filter(
      ({ identity }) => identity?.user === user && identity.app === app,
    );
    return [...own.flatMap(({ problems }) => problems), ...super.problemsOf(user, app)];
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.reloading.close();
    clearTimeout(this.timer);
    await this.watch.close();
  }

  private async reload(): Promise<void> {
    clearTimeout(this.timer);
    let nextReadMs = this.watchFault === undefined ? RESCAN_MS : RETRY_MS;
    try {
      await this.watch.follow();
      this.replace(await readGrantFolders(this.options.dir, this.folders));
    } catch (error: unknown) {
      nextReadMs = RETRY_MS;
      this.keepAll(errorCodeOf(error) ?? 'unknown');
    }
    this.timer = setTimeout(() => this.reloading.request(), nextReadMs).unref();
  }

  private replace({ folders, problems }: GrantFolders): void {
    const before = this.index;
    this.index = new GrantIndex();
    for (const [source, { installed, installedAtMs, manifest }] of folders) {
      const statements = { ...manifest.good, file: MANIFEST.name };
      if (installed) this.index.put(source, installed, installedAtMs, '', statements);
    }
    this.problems = [...problems, ...this.index.problems()];
    this.log.sharing(this.sharedWorkspaces(), before.holders.sharedWorkspaces());
    this.log.read(folders, this.folders);
    this.folders = folders;
    this.publish({ ready: true, installedApps: this.index.size, problems: this.problems });
    this.replaced(before);
  }

  /** Keeps all apps as they are: a folder that cannot be read says nothing about them. */
  private keepAll(code: string): void {
    const { ready, installedApps } = this.current;
    const reason = `the folder cannot be read (${code})`;
    const problem = { source: this.options.dir, reason, servedFromLastGood: ready };
    this.publish({ ready, installedApps, problems: [problem, ...this.problems] });
  }

  private publish(status: GrantSourceStatus): void {
    this.log.status(status, this.current);
    this.current = status;
  }

  private onWatchFault(code: string): void {
    if (this.watchFault === undefined)
      this.options.log('warn', 'grants_watch_failed', { code, rescanMs: RETRY_MS });
    this.watchFault = code;
  }
}

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
      // A folder that is removed and made again may get the number of the old one.
      const { dev, ino, birthtimeMs } = await stat(this.dir);
      return `${dev}:${ino}:${birthtimeMs}`;
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
