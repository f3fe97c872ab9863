import { DamagedFile } from './damaged-file';

/** Reads LevelDB's varints and length-prefixed strings, one after the other. */
export class ByteReader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Little endian, 7 bits a byte. @throws DamagedFile, also above 2^53 */
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
