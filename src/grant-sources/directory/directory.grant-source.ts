import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AppFolder, readAppFolder } from './app-folder';
import { APP_NAME, APP_NAME_RULE, type InstalledApp } from '../../authz/grant';
import type { GrantProblem, GrantSourceStatus } from '../../authz/grant-source';
import type { LogEvent } from '../../logging/log';
import { DebouncedTask, FolderWatch } from './folder-watch';
import { GrantIndex, IndexedGrantSource } from '../../authz/grant-index';
import { GrantLog } from '../grant-log';
import { codeOf } from './watched-file';

/** All apps' folders after one reading, by name. */
interface GrantFolders {
  readonly folders: ReadonlyMap<string, AppFolder>;
  readonly problems: readonly GrantProblem[];
}

const READ_AT_ONCE = 16;

/** @throws the file system's error where the folder itself cannot be read */
async function readGrantFolders(dir: string, before: ReadonlyMap<string, AppFolder>): Promise<GrantFolders> {
  const folders = new Map<string, AppFolder>();
  const problems: GrantProblem[] = [];
  const names = await folderNames(dir);
  for (const name of names.filter((candidate) => !APP_NAME.test(candidate))) {
    const reason = `a folder's name ${APP_NAME_RULE}`;
    problems.push({ source: JSON.stringify(name), reason, servedFromLastGood: false });
  }
  const sane = names.filter((name) => APP_NAME.test(name));
  for (let from = 0; from < sane.length; from += READ_AT_ONCE) {
    const some = sane.slice(from, from + READ_AT_ONCE);
    const read = await Promise.all(
      some.map(async (name) => [name, await readAppFolder(dir, name, before.get(name))] as const),
    );
    for (const [name, folder] of read) {
      folders.set(name, folder);
      problems.push(...folder.problems);
    }
  }
  return { folders, problems };
}

/** Hidden names are not apps: `..data` and its like hold the files of a Kubernetes mount. */
async function folderNames(dir: string): Promise<readonly string[]> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();
  const kinds = await Promise.all(names.map((name) => isFile(join(dir, name))));
  return names.filter((_, index) => kinds[index] === false);
}

/** What cannot be looked at counts as a folder, whose files then tell what is wrong. */
async function isFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

interface DirectoryGrantSourceOptions {
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
