import { randomBytes } from 'node:crypto';
import { open, rm, stat, truncate } from 'node:fs/promises';
import { systemCode } from './embedded-store-unusable';

const CHUNK_BYTES = 1024 * 1024;
/** The file shrinks by multiples of this: file systems give back whole blocks. */
const BLOCK_BYTES = 64 * 1024;

/**
 * A file beside the database that only takes up space. On a full disk it is shrunk, so that the database can be opened and
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

  /** Grows the file with random bytes, since a file system may compress others. Restores its old size when they do not fit. */
  async growTo(bytes: number): Promise<void> {
    const before = await this.bytes();
    const chunk = randomBytes(CHUNK_BYTES);
    const file = await open(this.path, 'a', 0o600);
    try {
      // A file system that has space for a part of a chunk writes that part.
      for (let size = before; size < bytes;)
        size += (await file.write(chunk, 0, Math.min(CHUNK_BYTES, bytes - size))).bytesWritten;
    } catch (error: unknown) {
      await file.truncate(before);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Shrinks the file by at least `bytes`, but not below `keptBytes`. */
  async shrinkBy(bytes: number, keptBytes: number): Promise<void> {
    const before = await this.bytes();
    const after = Math.max(keptBytes, Math.floor((before - bytes) / BLOCK_BYTES) * BLOCK_BYTES);
    if (after >= before) return;
    if (after === 0) await rm(this.path, { force: true });
    else await truncate(this.path, after);
  }
}
