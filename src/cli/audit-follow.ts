import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { inodeAt, LineSplitter, rotatedFilesOf } from '../audit/audit-files';

const POLL_MS = 250;
const CHUNK_BYTES = 64 * 1024;

/**
 * Follows an audit file from its beginning, over its rotations: what was written to a file before it was renamed comes first,
 * then the files that were rotated since, then the one that now has its name.
 */
export class FollowedFile {
  /** Open until the next one is: no other file can get its inode. */
  #fd: number;
  #at = 0;
  #splitter = new LineSplitter();
  /** Rotated files that are read, or older than the first. */
  readonly #done: Set<string>;

  /** The file must exist. A line is only valid until the next. */
  constructor(
    private readonly path: string,
    private readonly onLine: (line: Buffer) => void,
  ) {
    this.#fd = openSync(path, 'r');
    this.#done = new Set(rotatedFilesOf(path));
  }

  /** Calls back for each line that is complete, until the signal ends it. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.readOn();
        await pause(POLL_MS, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      closeSync(this.#fd);
    }
  }

  /** Reads what there is now. */
  readOn(): void {
    this.#readToEnd();
    const { ino } = fstatSync(this.#fd);
    // Between a rotation and the next record no file has the name.
    if ((inodeAt(this.path) ?? ino) === ino) return;
    const newest = openSync(this.path, 'r');
    const newestIno = fstatSync(newest).ino;
    // It may have grown until it was renamed.
    this.#readToEnd();
    for (const file of rotatedFilesOf(this.path).filter((one) => !this.#done.has(one))) {
      const inode = inodeAt(file);
      if (inode === newestIno) break;
      this.#done.add(file);
      if (inode !== ino) this.#goOn(openSync(file, 'r'));
    }
    this.#goOn(newest);
  }

  #goOn(fd: number): void {
    closeSync(this.#fd);
    this.#fd = fd;
    this.#at = 0;
    this.#splitter = new LineSplitter();
    this.#readToEnd();
  }

  #readToEnd(): void {
    // A batch that was not written whole is cut off again.
    const { size } = fstatSync(this.#fd);
    if (size < this.#at) {
      this.#at = size;
      this.#splitter = new LineSplitter();
    }
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const read = readSync(this.#fd, chunk, 0, CHUNK_BYTES, this.#at);
      if (read === 0) return;
      this.#at += read;
      for (const { line, isWhole } of this.#splitter.linesIn(chunk.subarray(0, read)))
        if (isWhole) this.onLine(line);
    }
  }
}
