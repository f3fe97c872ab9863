import type { LogEvent } from '../logging/log';
import type { AppFolder } from './app-folder';
import { DebouncedTask } from './debounced-task';
import { FolderWatch } from './folder-watch';
import { type GrantFolders, readGrantFolders } from './grant-folders';
import { GrantIndex } from './grant-index';
import { GrantLog } from './grant-log';
import type { GrantProblem, GrantSourceStatus } from './grant-source';
import { IndexedGrantSource } from './indexed-grant-source';
import type { InstalledApp } from './installed-app';
import { codeOf } from './small-file';

export interface DirectoryGrantSourceOptions {
  /** Holds `<folder>/OlaresManifest.yaml` and `<folder>/app.yaml` for each installed app. */
  readonly dir: string;
  readonly log: LogEvent;
}

const PACE = { quietMs: 100, atMostMs: 500 };
/** While the folder cannot be read there is nothing to watch. */
const RETRY_MS = 500;
/** For what no watch reports: network file systems, files behind links, a system that is out of watches. */
const RESCAN_MS = 10_000;

/** A folder of manifests, read again whenever something in it changes. */
export class DirectoryGrantSource extends IndexedGrantSource {
  protected index = new GrantIndex();
  private current: GrantSourceStatus = { ready: false, installedApps: 0, problems: [] };
  private folders: ReadonlyMap<string, AppFolder> = new Map();
  private problems: readonly GrantProblem[] = [];
  private timer: NodeJS.Timeout | undefined;
  private watchFault: string | undefined;
  private readonly watch: FolderWatch;
  private readonly reloading = new DebouncedTask(() => this.reload(), PACE);
  private readonly log: GrantLog;

  private constructor(private readonly options: DirectoryGrantSourceOptions) {
    super();
    this.log = new GrantLog(options.log);
    const onFault = (error: unknown) => this.onWatchFault(codeOf(error));
    this.watch = new FolderWatch(options.dir, () => this.reloading.nudge(), onFault);
  }

  /** Resolves after the first reading; a folder that is not there makes the source not ready, and is waited for. */
  static async open(options: DirectoryGrantSourceOptions): Promise<DirectoryGrantSource> {
    const source = new DirectoryGrantSource(options);
    await source.reloading.run();
    return source;
  }

  installedApps(): readonly InstalledApp[] {
    return this.index.served();
  }

  status(): GrantSourceStatus {
    return this.current;
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.reloading.close();
    clearTimeout(this.timer);
    await this.watch.close();
  }

  private async reload(): Promise<void> {
    clearTimeout(this.timer);
    let againMs = this.watchFault === undefined ? RESCAN_MS : RETRY_MS;
    try {
      await this.watch.follow();
      this.swap(await readGrantFolders(this.options.dir, this.folders));
    } catch (error: unknown) {
      againMs = RETRY_MS;
      this.keep(codeOf(error));
    }
    this.timer = setTimeout(() => this.reloading.nudge(), againMs).unref();
  }

  private swap({ folders, problems }: GrantFolders): void {
    const before = this.index;
    this.index = new GrantIndex();
    for (const [source, { installed, installedAtMs }] of folders) {
      if (installed) this.index.put(source, installed, installedAtMs);
    }
    this.problems = [...problems, ...this.index.problems()];
    this.log.sharing(this.index.sharedWorkspaces(), before.sharedWorkspaces());
    this.log.read(folders, this.folders);
    this.folders = folders;
    this.publish({ ready: true, installedApps: this.index.size, problems: this.problems });
  }

  /** A folder that cannot be read says nothing of its apps: what was in force stays so. */
  private keep(code: string): void {
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
