import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DamagedFile, logRecords, maskedCrc32c, TornTail } from './log-records';

const MANIFEST = /^MANIFEST-\d+\n$/;
const LOG = /^(\d+)\.log$/;

/**
 * Checks the checksums of all files that make up the LevelDB database in `folder`, which has a CURRENT. Changes nothing.
 * @throws DamagedFile, TornTail, or an error of the file system
 */
export async function checkLevelDbFiles(folder: string): Promise<void> {
  const names = await readdir(folder);
  /** Reads a file that must be there; errors begin with its path. */
  const check = async <T>(name: string, parse: (file: Buffer) => T): Promise<T> => {
    if (!names.includes(name)) throw new DamagedFile(`${join(folder, name)}: it is missing`);
    const file = await readFile(join(folder, name));
    try {
      return parse(file);
    } catch (error: unknown) {
      throw withPath(error, join(folder, name));
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

function withPath(error: unknown, path: string): unknown {
  if (error instanceof TornTail)
    return new TornTail(`${path}: ${error.message}`, error.at, error.hasHoles, path);
  return error instanceof DamagedFile ? new DamagedFile(`${path}: ${error.message}`) : error;
}

/** Returns NaN for files that are no logs. */
function logNumberOf(name: string): number {
  return Number(LOG.exec(name)?.[1]);
}

function manifestNameIn(current: Buffer): string {
  const text = current.toString('latin1');
  if (!MANIFEST.test(text)) throw new DamagedFile('it does not name a manifest');
  return text.trimEnd();
}

/** Returns the file name of a table, which ends in .sst in old databases. */
function tableNameIn(names: readonly string[], number: number): string {
  const stem = String(number).padStart(6, '0');
  return names.includes(`${stem}.sst`) ? `${stem}.sst` : `${stem}.ldb`;
}

const FOOTER_BYTES = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
/** After each block: its type (1 byte) and checksum (4). */
const BLOCK_TRAILER_BYTES = 5;
const UNCOMPRESSED = 0;
/** A block without entries: only the number of restart points, which is 0. */
const EMPTY_BLOCK = Buffer.alloc(4);

/**
 * Checks every block of a LevelDB table file against its checksum. Reads do not, and a wrong byte in a key would make a
 * secret seem missing.
 * @throws DamagedFile
 */
function checkTable(file: Buffer): void {
  if (file.length < FOOTER_BYTES || !file.subarray(-MAGIC.length).equals(MAGIC)) {
    throw new DamagedFile('its end is missing');
  }
  const footer = new ByteReader(file.subarray(-FOOTER_BYTES));
  const indexes = [blockAt(file, footer), blockAt(file, footer)];
  for (const index of indexes) {
    for (const handle of valuesIn(index)) blockAt(file, new ByteReader(handle));
  }
}

/** Returns the block that a handle (offset, size) points at, after checking it. */
function blockAt(file: Buffer, handle: ByteReader): Buffer {
  const start = handle.varint();
  const typeAt = start + handle.varint();
  if (typeAt + BLOCK_TRAILER_BYTES > file.length) throw new DamagedFile('a block in it is cut off');
  if (maskedCrc32c(file, start, typeAt + 1) !== file.readUInt32LE(typeAt + 1)) {
    throw new DamagedFile('a block does not match its checksum');
  }
  // Our database has no compressed block: this one is foreign, which its missing meta record will show.
  return file[typeAt] === UNCOMPRESSED ? file.subarray(start, typeAt) : EMPTY_BLOCK;
}

/** Returns the values of a block: entries of shared, unshared and value length, key and value, then the restart points. */
function valuesIn(block: Buffer): Buffer[] {
  const restarts = block.length < 4 ? 0 : block.readUInt32LE(block.length - 4);
  const entriesEnd = block.length - 4 * (restarts + 1);
  if (entriesEnd < 0) throw new DamagedFile('a block in it is cut off');
  const entries = new ByteReader(block.subarray(0, entriesEnd));
  const values: Buffer[] = [];
  while (!entries.isAtEnd) {
    entries.varint();
    const unsharedBytes = entries.varint();
    const valueBytes = entries.varint();
    entries.take(unsharedBytes);
    values.push(entries.take(valueBytes));
  }
  return values;
}

/** The files that make up the database now. A killed process may leave others; LevelDB removes them. */
interface LiveFiles {
  /** Size in bytes by file number. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs below this number are already in tables. */
  readonly firstLog: number;
}

/** Replays the edits of a manifest, and returns the files that it names in the end. @throws DamagedFile */
function liveFilesOf(manifest: Buffer): LiveFiles {
  const tables = new Map<number, number>();
  let firstLog: number | undefined;
  for (const record of logRecords(manifest)) {
    const edit = new ByteReader(record);
    while (!edit.isAtEnd) {
      const tag = edit.varint();
      switch (tag) {
        case 1: // comparator
          edit.take(edit.varint());
          break;
        case 2:
          firstLog = edit.varint();
          break;
        case 3: // next file
        case 4: // last sequence
        case 9: // previous log: always 0 since 2011
          edit.varint();
          break;
        case 5: // compaction pointer: level, key
          edit.varint();
          edit.take(edit.varint());
          break;
        case 6: // deleted table: level, number
          edit.varint();
          tables.delete(edit.varint());
          break;
        case 7: {
          // new table: level, number, size, smallest key, largest key
          edit.varint();
          tables.set(edit.varint(), edit.varint());
          edit.take(edit.varint());
          edit.take(edit.varint());
          break;
        }
        default:
          throw new DamagedFile('it has an unknown field');
      }
    }
  }
  if (firstLog === undefined) throw new DamagedFile('it is cut off at its beginning');
  return { tables, firstLog };
}

/** Reads LevelDB's varints and byte strings one after the other. */
class ByteReader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Reads 7 bits a byte, little endian. @throws DamagedFile, also above 2^53 */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new DamagedFile('a number in it is cut off');
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new DamagedFile('a field in it is cut off');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}
