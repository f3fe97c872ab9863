import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkTable } from './check-table';
import { DamagedFile, TornTail, logRecords } from './log-records';
import { liveFilesOf } from './manifest';

const MANIFEST = /^MANIFEST-\d+\n$/;
const LOG = /^(\d+)\.log$/;

/**
 * Checks the checksums of all files that make up the LevelDB database in `folder`, which has a CURRENT. Changes nothing.
 * @throws DamagedFile, TornTail; an error of the file system as it comes
 */
export async function checkLevelDbFiles(folder: string): Promise<void> {
  const names = await readdir(folder);
  /** Reads a file that must be there, and puts its name before what is wrong with it. */
  const check = async <T>(name: string, judge: (file: Buffer) => T): Promise<T> => {
    if (!names.includes(name)) throw new DamagedFile(`${join(folder, name)}: it is missing`);
    const file = await readFile(join(folder, name));
    try {
      return judge(file);
    } catch (error: unknown) {
      throw named(error, join(folder, name));
    }
  };

  const { tables, firstLog } = await check(await check('CURRENT', manifestNameIn), liveFilesOf);
  for (const [number, bytes] of tables) {
    await check(tableNameIn(names, number), (file) => {
      if (file.length !== bytes) throw new DamagedFile(`it should have ${bytes} bytes`);
      checkTable(file);
    });
  }
  const logs = names.filter((name) => logNumberOf(name) >= firstLog);
  // LevelDB deletes a log only after the manifest names a later one: without it, the manifest has lost its end.
  if (!logs.some((name) => logNumberOf(name) === firstLog)) {
    throw new DamagedFile(`${folder}: its log number ${firstLog} is missing`);
  }
  for (const name of logs) await check(name, (file) => Array.from(logRecords(file)).length);
}

function named(error: unknown, path: string): unknown {
  if (error instanceof TornTail)
    return new TornTail(`${path}: ${error.message}`, error.at, error.hasHoles, path);
  return error instanceof DamagedFile ? new DamagedFile(`${path}: ${error.message}`) : error;
}

/** NaN for other files. */
function logNumberOf(name: string): number {
  return Number(LOG.exec(name)?.[1]);
}

function manifestNameIn(current: Buffer): string {
  const text = current.toString('latin1');
  if (!MANIFEST.test(text)) throw new DamagedFile('it does not name a manifest');
  return text.trimEnd();
}

/** Old databases have tables that end in .sst. */
function tableNameIn(names: readonly string[], number: number): string {
  const stem = String(number).padStart(6, '0');
  return names.includes(`${stem}.sst`) ? `${stem}.sst` : `${stem}.ldb`;
}
