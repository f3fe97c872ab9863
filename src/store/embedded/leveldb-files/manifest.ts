import { ByteReader } from './byte-reader';
import { DamagedFile } from './damaged-file';
import { logRecords } from './log-records';

/** The files that make up the database now. Others may lie about after a kill; LevelDB removes them. */
export interface LiveFiles {
  /** Size in bytes by file number. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs below this number are already in tables. */
  readonly firstLog: number;
}

/** Replays the edits of a manifest. @throws DamagedFile */
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
