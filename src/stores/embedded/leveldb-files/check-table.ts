import { ByteReader } from './manifest';
import { maskedCrc32c, DamagedFile } from './log-records';

const FOOTER_BYTES = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
/** After each block: its type (1 byte) and checksum (4). */
const TRAILER_BYTES = 5;
const UNCOMPRESSED = 0;
/** No entries: only the number of restart points, which is 0. */
const EMPTY_BLOCK = Buffer.alloc(4);

/**
 * Checks every block of a LevelDB table file against its checksum: reads do not do it, and a wrong byte in a key would
 * make a secret look missing.
 * @throws DamagedFile
 */
export function checkTable(file: Buffer): void {
  if (file.length < FOOTER_BYTES || !file.subarray(-MAGIC.length).equals(MAGIC)) {
    throw new DamagedFile('its end is missing');
  }
  const footer = new ByteReader(file.subarray(-FOOTER_BYTES));
  const indexes = [blockAt(file, footer), blockAt(file, footer)];
  for (const index of indexes) {
    for (const handle of valuesIn(index)) blockAt(file, new ByteReader(handle));
  }
}

/** The block that a handle (offset, size) points at, checked. */
function blockAt(file: Buffer, handle: ByteReader): Buffer {
  const start = handle.varint();
  const typeAt = start + handle.varint();
  if (typeAt + TRAILER_BYTES > file.length) throw new DamagedFile('a block in it is cut off');
  if (maskedCrc32c(file, start, typeAt + 1) !== file.readUInt32LE(typeAt + 1)) {
    throw new DamagedFile('a block does not match its checksum');
  }
  // A compressed block is of somebody else's database, which its missing meta record will tell.
  return file[typeAt] === UNCOMPRESSED ? file.subarray(start, typeAt) : EMPTY_BLOCK;
}

/** The values of a block: entries of shared, unshared and value length, key and value, then the restart points. */
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
