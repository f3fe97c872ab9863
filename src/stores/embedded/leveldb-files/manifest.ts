import { DamagedFile, logRecords } from './log-records';

/** The files that make up the database now. A killed process may leave others; LevelDB removes them. */
interface LiveFiles {
  /** Size in bytes by file number. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs below this number are already in tables. */
  readonly firstLog: number;
}

/** Replays the edits of a manifest, and returns the files that it names in the end. @throws DamagedFile */
export function liveFilesOf(manifest: Buffer): LiveFiles {
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
export class ByteReader {
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
