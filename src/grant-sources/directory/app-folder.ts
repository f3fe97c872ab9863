import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap } from 'yaml';
import { APP_NAME, APP_NAME_RULE, grantSet, type InstalledApp } from '../../authz/grant';
import type { GrantProblem } from '../../authz/grant-index';
import { type Manifest, parseManifest } from '../../authz/manifest';
import { offsetOf, plainValue, readYaml, type Refusal, refusalOf, RefusedFile } from '../../authz/plain-yaml';
import { readWatchedFile, type WatchedFile } from './watched-file';

/** The content of `app.yaml`: for whom the app is installed, and how it proves itself. */
interface AppCredentials {
  readonly user: string;
  readonly appKey: string;
  readonly appSecret: string;
}

export const MANIFEST_NAME = 'OlaresManifest.yaml';
export const MANIFEST = { name: MANIFEST_NAME, maxBytes: 64 * 1024, parse: parseManifest };
const CREDENTIALS = { name: 'app.yaml', maxBytes: 16 * 1024, parse: parseAppCredentials };

/** The state of one app's folder after its latest reading. */
export interface AppFolder {
  readonly manifest: WatchedFile<Manifest>;
  readonly credentials: WatchedFile<AppCredentials>;
  /** The user and app of the folder when everything in it was last good. */
  readonly identity?: { readonly user: string; readonly app: string };
  /** The app that is served from it. */
  readonly installed?: InstalledApp;
  /** When the folder was created, in milliseconds since the epoch; 0 where the file system does not know. */
  readonly installedAtMs: number;
  readonly problems: readonly GrantProblem[];
}

/** Reads `<dir>/<name>` again; a file that became invalid keeps its last good state from `before`. */
export async function readAppFolder(dir: string, name: string, before?: AppFolder): Promise<AppFolder> {
  const path = join(dir, name);
  const [manifest, credentials, installedAtMs] = await Promise.all([
    readWatchedFile(join(path, MANIFEST.name), MANIFEST, before?.manifest),
    readWatchedFile(join(path, CREDENTIALS.name), CREDENTIALS, before?.credentials),
    before?.installedAtMs ??
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
  return {
    manifest,
    credentials,
    ...(identity ? { identity } : {}),
    ...(installed ? { installed } : {}),
    installedAtMs,
    problems: [
      ...problemOf(`${name}/${MANIFEST.name}`, manifest, servedFromLastGood),
      ...problemOf(`${name}/${CREDENTIALS.name}`, credentials, servedFromLastGood),
    ],
  };
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
