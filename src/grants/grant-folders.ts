import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AppFolder, readAppFolder } from './app-folder';
import { APP_NAME, APP_NAME_RULE } from './app-name';
import type { GrantProblem } from './grant-source';

/** All apps' folders after one reading, by name. */
export interface GrantFolders {
  readonly folders: ReadonlyMap<string, AppFolder>;
  readonly problems: readonly GrantProblem[];
}

const READ_AT_ONCE = 16;

/** @throws the file system's error where the folder itself cannot be read */
export async function readGrantFolders(
  dir: string,
  before: ReadonlyMap<string, AppFolder>,
): Promise<GrantFolders> {
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
