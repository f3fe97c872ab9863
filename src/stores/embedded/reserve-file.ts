import { randomBytes } from 'node:crypto';
import { open, rm, stat, truncate } from 'node:fs/promises';
import { systemCode } from './embedded-store-unusable';

const CHUNK_BYTES = 1024 * 1024;
/** A multiple of the blocks that file systems give back. */
const CUT_BYTES = 64 * 1024;

/**
 * A file beside the database that only takes up room. On a full disk it is cut down, so that the database can be opened and
 * deletes can be written although others took all the rest.
 */
export class ReserveFile {
  private readonly path: string;

  constructor(vaultFolder: string) {
    this.path = `${vaultFolder}.reserve`;
  }

  async bytes(): Promise<number> {
    try {
      return (await stat(this.path)).size;
    } catch (error: unknown) {
      if (systemCode(error) === 'ENOENT') return 0;
      throw error;
    }
  }

  /** Makes it so large, of random bytes since a file system may store others in less. What does not fit is given back. */
  async growTo(bytes: number): Promise<void> {
    const before = await this.bytes();
    const chunk = randomBytes(CHUNK_BYTES);
    const file = await open(this.path, 'a', 0o600);
    try {
      // Short writes are what a file system does that has room for a part.
      for (let size = before; size < bytes;)
        size += (await file.write(chunk, 0, Math.min(CHUNK_BYTES, bytes - size))).bytesWritten;
    } catch (error: unknown) {
      await file.truncate(before);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Makes it smaller by at least so much, as a file system gives back blocks; but keeps so much of it. */
  async shrinkBy(bytes: number, keptBytes: number): Promise<void> {
    const before = await this.bytes();
    const after = Math.max(keptBytes, Math.floor((before - bytes) / CUT_BYTES) * CUT_BYTES);
    if (after >= before) return;
    if (after === 0) await rm(this.path, { force: true });
    else await truncate(this.path, after);
  }
}
