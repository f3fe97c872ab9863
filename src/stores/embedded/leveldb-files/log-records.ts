/** A file of the database is not what LevelDB wrote. `message` names the file and the damage. */
export class DamagedFile extends Error {}

/**
 * The last record of a log is not whole, and no other begins after it. A power cut leaves this of a write that was never
 * acknowledged; or the record was whole once and was damaged since. Only zeroes in it tell the two apart.
 */
export class TornTail extends DamagedFile {
  constructor(
    message: string,
    /** The offset at which that record begins: all before it is whole. */
    readonly at: number,
    /** Whether parts of it were never written, so that it was never whole. */
    readonly hasHoles: boolean,
    /** The path of the file, once it is known. */
    readonly path = '',
  ) {
    super(message);
  }
}

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

/** A file system loses unsynced data by whole sectors; no sealed record has so many zeroes in a row. */
const SECTOR_BYTES = 512;
const MIN_HOLE_BYTES = 64;

interface Fragment {
  readonly at: number;
  readonly type: number;
  readonly data: Buffer;
}

/**
 * Yields the records of a file in LevelDB's log format (also its manifest): blocks of 32 KiB that hold fragments, each after
 * its checksum (4 bytes), length (2) and type (1), little endian. The torn end that a killed process leaves ends the
 * list. LevelDB silently drops anything else that is wrong; this function throws.
 * @throws TornTail where only the last record is not whole, else DamagedFile
 */
export function* logRecords(file: Buffer): Generator<Buffer> {
  let begun: Buffer[] | undefined;
  let begunAt = 0;
  for (const { at, type, data } of fragments(file, () => (begun === undefined ? undefined : begunAt))) {
    const begins = type === FULL || type === FIRST;
    if (begins !== (begun === undefined)) throw new DamagedFile('its records are out of order');
    if (begins) begunAt = at;
    const parts: Buffer[] = [...(begun ?? []), data];
    const ends = type === FULL || type === LAST;
    if (ends) yield Buffer.concat(parts);
    begun = ends ? undefined : parts;
  }
}

/** @param begunAt returns the offset of the record that the next fragment continues */
function* fragments(file: Buffer, begunAt: () => number | undefined): Generator<Fragment> {
  let at = 0;
  while (at < file.length) {
    const blockEnd = Math.min(file.length, at - (at % BLOCK_BYTES) + BLOCK_BYTES);
    if (blockEnd - at < HEADER_BYTES) {
      at = blockEnd;
      continue;
    }
    const fragment = fragmentAt(file, at, blockEnd);
    if (fragment === undefined) {
      if (isTornEnd(file, at)) return;
      const recordAt = begunAt() ?? at;
      if (beginsAfter(file, at)) throw new DamagedFile('a record does not match its checksum');
      throw new TornTail('its last record does not match its checksum', recordAt, hasHoles(file, recordAt));
    }
    yield fragment;
    at += HEADER_BYTES + fragment.data.length;
  }
}

function fragmentAt(file: Buffer, at: number, blockEnd: number): Fragment | undefined {
  const end = at + HEADER_BYTES + file.readUInt16LE(at + 4);
  const type = file.readUInt8(at + 6);
  if (type < FULL || type > LAST || end > blockEnd) return undefined;
  if (maskedCrc32c(file, at + 6, end) !== file.readUInt32LE(at)) return undefined;
  return { at, type, data: file.subarray(at + HEADER_BYTES, end) };
}

/** Returns whether a record begins behind this offset. It was written after what is at this offset had been acknowledged. */
function beginsAfter(file: Buffer, at: number): boolean {
  for (let next = at + 1; next + HEADER_BYTES <= file.length; next++) {
    const type = file[next + 6];
    if (type !== FULL && type !== FIRST) continue;
    const blockEnd = Math.min(file.length, next - (next % BLOCK_BYTES) + BLOCK_BYTES);
    if (next + HEADER_BYTES <= blockEnd && fragmentAt(file, next, blockEnd) !== undefined) return true;
  }
  return false;
}

/** Returns whether a whole sector behind this offset, or the part of it that is behind the offset, is zeroes. */
function hasHoles(file: Buffer, from: number): boolean {
  for (let at = from; at < file.length; at = at - (at % SECTOR_BYTES) + SECTOR_BYTES) {
    const sector = file.subarray(at, at - (at % SECTOR_BYTES) + SECTOR_BYTES);
    if (sector.length >= MIN_HOLE_BYTES && sector.every((byte) => byte === 0)) return true;
  }
  return false;
}

/** Returns whether a write was cut off here: the last fragment is longer than the file, or the rest of the file was never filled. */
function isTornEnd(file: Buffer, at: number): boolean {
  if (file.subarray(at).every((byte) => byte === 0)) return true;
  const blockEnd = at - (at % BLOCK_BYTES) + BLOCK_BYTES;
  const end = at + HEADER_BYTES + file.readUInt16LE(at + 4);
  if (file.length >= blockEnd || end <= file.length || end > blockEnd) return false;
  // A whole fragment inside means that this length is wrong, not that the file is short.
  for (let inside = at + 1; inside + HEADER_BYTES <= file.length; inside++) {
    if (fragmentAt(file, inside, file.length) !== undefined) return false;
  }
  return true;
}

const REVERSED_POLYNOMIAL = 0x82f63b78;
const MASK_DELTA = 0xa282ead8;

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ REVERSED_POLYNOMIAL : crc >>> 1;
  return crc;
});

/** Returns the CRC-32C (Castagnoli) of bytes[start, end), masked as LevelDB stores it; about 300 MB/s. */
export function maskedCrc32c(bytes: Uint8Array, start: number, end: number): number {
  let crc = -1;
  for (let at = start; at < end; at++) crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
