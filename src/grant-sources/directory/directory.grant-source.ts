import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCodeOf } from '../../errors/domain-error';
import { APP_NAME, APP_NAME_RULE } from '../../authz/grant';
import { GrantIndex, type GrantProblem } from '../../authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../authz/grant-source';
import type { LogEvent } from '../../logging/log';
import { GrantLog } from '../grant-log';
import { type AppFolder, MANIFEST_NAME, readAppFolder } from './app-folder';
import { DebouncedTask, FolderWatch } from './folder-watch';

/** The folders of all apps by name, after one reading. */
interface GrantFolders {
  readonly folders: ReadonlyMap<string, AppFolder>;
  readonly problems: readonly GrantProblem[];
}

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
      const statements = { ...manifest.good, file: MANIFEST_NAME };
      if (installed) this.index.put(source, installed, installedAtMs, '', statements);
    }
    this.problems = [...problems, ...this.index.problems()];
    this.log.sharing(this.index.sharedWorkspaces(), before.sharedWorkspaces());
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

const MAX_CONCURRENT_READS = 16;

/** @throws the file system's error where the folder itself cannot be read */
async function readGrantFolders(dir: string, before: ReadonlyMap<string, AppFolder>): Promise<GrantFolders> {
  const folders = new Map<string, AppFolder>();
  const problems: GrantProblem[] = [];
  const names = await folderNames(dir);
  for (const name of names.filter((candidate) => !APP_NAME.test(candidate))) {
    const reason = `a folder's name ${APP_NAME_RULE}`;
    problems.push({ source: JSON.stringify(name), reason, servedFromLastGood: false });
  }
  const valid = names.filter((name) => APP_NAME.test(name));
  for (let from = 0; from < valid.length; from += MAX_CONCURRENT_READS) {
    const batch = valid.slice(from, from + MAX_CONCURRENT_READS);
    const read = await Promise.all(
      batch.map(async (name) => [name, await readAppFolder(dir, name, before.get(name))] as const),
    );
    for (const [name, folder] of read) {
      folders.set(name, folder);
      problems.push(...folder.problems);
    }
  }
  return { folders, problems };
}

/** Returns the names of the folders, without hidden ones: `..data` and the like hold the files of a Kubernetes mount. */
async function folderNames(dir: string): Promise<readonly string[]> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();
  const kinds = await Promise.all(names.map((name) => isFile(join(dir, name))));
  return names.filter((_, index) => kinds[index] === false);
}

/** Returns false where the path cannot be read: it counts as a folder, and reading its files shows the problem. */
async function isFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
