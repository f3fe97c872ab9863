import { link, open, rename, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { errorCodeOf } from '../../errors/domain-error';
import { CommandFailure } from '../command-errors';

/**
 * Writes a file that its owner alone can read, whole or not at all: it gets its name when it is on the disk.
 * @param mayReplace otherwise a file of that name, also one that appears meanwhile, stays as it is
 * @throws CommandFailure (1) where there is one, and the file system's error
 */
export async function writePrivateFile(
  path: string,
  content: string | Uint8Array,
  mayReplace: boolean,
): Promise<void> {
  const unnamed = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  const file = await open(unnamed, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
    await file.close();
    // A link is only made where no file has the name; a rename replaces it.
    if (mayReplace) await rename(unnamed, path);
    else await link(unnamed, path);
  } catch (error: unknown) {
    await file.close();
    if (errorCodeOf(error) === 'EEXIST') throw new CommandFailure(1, `${path} exists; --force replaces it.`);
    throw error;
  } finally {
    await rm(unnamed, { force: true });
  }
}
