import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { isMap } from 'yaml';
import { APP_NAME, APP_NAME_RULE, grantSet, type InstalledApp } from '../../authz/grant';
import type { GrantProblem } from '../../authz/grant-index';
import { type Manifest, parseManifest } from '../../authz/manifest';
import { readSmallFile } from '../../reloadable/reloadable';
import { offsetOf, plainValue, readYaml, type Refusal, refusalOf, RefusedFile } from '../../authz/plain-yaml';

/** The content of `app.yaml`: for whom the app is installed, and how it proves itself. */
interface AppCredentials {
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
}

export const MANIFEST = { name: 'OlaresManifest.yaml', maxBytes: 64 * 1024, parse: parseManifest };
const CREDENTIALS = { name: 'app.yaml', maxBytes: 16 * 1024, parse: parseAppCredentials };

/** The state of one app's folder after its latest reading. */
export interface AppFolder {
  readonly manifest: WatchedFile<Manifest>;
  readonly credentials: WatchedFile<AppCredentials>;
  /** The user and app of the folder when everything in it was last good. */
  readonly identity: { readonly user: string; readonly app: string } | undefined;
  /** The app that is served from it. */
  readonly installed: InstalledApp | undefined;
  /** When the folder was created, in milliseconds since the epoch; 0 where the file system does not know. */
  readonly installedAtMs: number;
  readonly problems: readonly GrantProblem[];
}

/** The folders of all apps by name, after one reading. */
export interface GrantFolders {
  readonly folders: ReadonlyMap<string, AppFolder>;
  readonly problems: readonly GrantProblem[];
}

const MAX_CONCURRENT_READS = 16;

/** @throws the file system's error where the folder itself cannot be read */
export async function readGrantFolders(
  dir: string,
  before: ReadonlyMap<string, AppFolder>,
): Promise<GrantFolders> {
  const folders = new Map<string, AppFolder>();
  const names = await folderNames(dir);
  const reason = `a folder's name ${APP_NAME_RULE}`;
  const misnamed = names
    .filter((name) => !APP_NAME.test(name))
    .map((name) => ({ source: JSON.stringify(name), reason, servedFromLastGood: false }));
  const valid = names.filter((name) => APP_NAME.test(name));
  for (let from = 0; from < valid.length; from += MAX_CONCURRENT_READS) {
    const batch = valid.slice(from, from + MAX_CONCURRENT_READS);
    const read = batch.map(async (name) => [name, await readAppFolder(dir, name, before.get(name))] as const);
    for (const [name, folder] of await Promise.all(read)) folders.set(name, folder);
  }
  return { folders, problems: [...misnamed, ...[...folders.values()].flatMap(({ problems }) => problems)] };
}

/** Returns the names of the folders, without hidden ones: `..data` and the like hold the files of a Kubernetes mount. */
async function folderNames(dir: string): Promise<readonly string[]> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();
  // What cannot be read counts as a folder, and reading its files shows the problem.
  const isFolder = (name: string): Promise<boolean> =>
    stat(join(dir, name)).then(
      (found) => found.isDirectory(),
      () => true,
    );
  const areFolders = await Promise.all(names.map(isFolder));
  return names.filter((_, index) => areFolders[index]);
}

/** Reads `<dir>/<name>` again; a file that became invalid keeps its last good state from `before`. */
async function readAppFolder(dir: string, name: string, before?: AppFolder): Promise<AppFolder> {
  const path = join(dir, name);
  const [manifest, credentials, installedAtMs] = await Promise.all([
    readWatchedFile(join(path, MANIFEST.name), MANIFEST, before?.manifest),
    readWatchedFile(join(path, CREDENTIALS.name), CREDENTIALS, before?.credentials),
    before?.installedAtMs ||
      stat(path).then(
        ({ birthtimeMs }) => birthtimeMs,
        () => 0,
      ),
  ]);
  const good = !manifest.problem && !credentials.problem;
  const merged = merge(manifest.good, credentials.good);
  const identity = good && merged ? { user: merged.user, app: merged.app } : before?.identity;
  // A file that is good and one that was good earlier make an app only where both name the same one.
  const installed =
    merged && merged.user === identity?.user && merged.app === identity.app ? merged : undefined;
  const servedFromLastGood = installed !== undefined;
  const problems = [
    ...problemOf(`${name}/${MANIFEST.name}`, manifest, servedFromLastGood),
    ...problemOf(`${name}/${CREDENTIALS.name}`, credentials, servedFromLastGood),
  ];
  return { manifest, credentials, identity, installed, installedAtMs, problems };
}

const FIELDS = ['user', 'appKey', 'appSecret'] as const;

/** Parses `app.yaml` strictly. No reason of a refusal repeats a value, an unknown key or the parser's words. */
export function parseAppCredentials(text: string): AppCredentials | Refusal {
  try {
    return parse(text);
  } catch (error: unknown) {
    return refusalOf(error, text);
  }
}

function parse(text: string): AppCredentials {
  const document = readYaml(text);
  const [error] = document.errors;
  if (error) throw new RefusedFile(error.pos[0], 'not valid YAML');
  const root = document.contents;
  if (!isMap(root)) throw new RefusedFile(offsetOf(root), `must state ${FIELDS.join(', ')}`);
  const values = plainValue(root) as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(values).findIndex((key) => !FIELDS.some((field) => field === key));
  if (unknown !== -1) {
    throw new RefusedFile(
      offsetOf(root.items[unknown]?.key),
      `an unknown key; known are ${FIELDS.join(', ')}`,
    );
  }
  const [user, appKey, appSecret] = FIELDS.map((field) => {
    const at = offsetOf(root.get(field, true));
    const value = values[field];
    if (value === undefined) throw new RefusedFile(0, `${field} is missing`);
    if (typeof value !== 'string') throw new RefusedFile(at, `${field} must be text; put it in quotes`);
    if (value.trim() === '') throw new RefusedFile(at, `${field} is empty`);
    if (field === 'user' && !APP_NAME.test(value)) throw new RefusedFile(at, `user ${APP_NAME_RULE}`);
    return value;
  });
  return { user, appKey, appSecret } as AppCredentials;
}

function merge(
  manifest: Manifest | undefined,
  credentials: AppCredentials | undefined,
): InstalledApp | undefined {
  if (!manifest || !credentials) return undefined;
  return { app: manifest.app, ...credentials, grants: grantSet(manifest.grants) };
}

function problemOf(source: string, file: WatchedFile<unknown>, servedFromLastGood: boolean): GrantProblem[] {
  if (file.missing) return [{ source, reason: 'is missing', servedFromLastGood: false }];
  return file.problem ? [{ source, ...file.problem, servedFromLastGood }] : [];
}

/** The state of one file after its latest reading. */
export interface WatchedFile<T> {
  readonly missing: boolean;
  /** The latest content that could be parsed; absent for a file that is gone, since a removal withdraws the content. */
  readonly good?: T | undefined;
  /** Why the present content is not `good`. */
  readonly problem?: { readonly reason: string; readonly line?: number };
  /** The digest of the present content, so that it is parsed, and its warnings are logged, once. */
  readonly digest?: string;
}

interface Format<T extends object> {
  readonly maxBytes: number;
  readonly parse: (text: string) => T | Refusal;
}

/** Reads the file again; returns `before` itself where nothing changed. */
export async function readWatchedFile<T extends object>(
  path: string,
  { maxBytes, parse }: Format<T>,
  before: WatchedFile<T> | undefined,
): Promise<WatchedFile<T>> {
  const file = await readSmallFile(path, maxBytes);
  if (file.kind === 'missing') return { missing: true };
  const good = before?.good;
  if (file.kind === 'unreadable') return { missing: false, problem: { reason: file.reason }, good };
  const digest = createHash('sha256').update(file.text).digest('base64');
  if (before?.digest === digest) return before;
  const parsed = await runAfterOthers(() => parse(file.text));
  if (!('refused' in parsed)) return { missing: false, digest, good: parsed };
  const problem = { reason: parsed.refused, line: parsed.line };
  return { missing: false, digest, problem, good };
}

let lastWork: Promise<unknown> = Promise.resolve();

/** Runs one piece of work in each turn of the event loop, so that requests are served between two files. */
function runAfterOthers<T>(work: () => T): Promise<T> {
  const done = lastWork.then(() => setImmediate()).then(work);
  lastWork = done.catch(() => undefined);
  return done;
}
