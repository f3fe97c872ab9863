import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCodeOf } from '../errors/domain-error';
import type { LogEvent } from '../logging/log';
import type { Clock } from '../time/clock';
import { type AuditChain, CHAIN_BEGIN, type ChainEnd } from './audit-chain';
import { type AuditRecord, AuditSink, AuditSinkFailed } from './audit-sink';
import { firstLineOf, lastLineOf, rotatedAmong, unlessMissing, withFile } from './audit-files';

export interface AuditFileOptions {
  readonly path: string;
  /** A file that is as large is rotated. */
  readonly maxFileBytes: number;
  /** A file that is older is rotated. */
  readonly maxFileAgeMs: number;
  /** Older rotated files are deleted; 0 keeps all. */
  readonly keptFiles: number;
  /** `fsync`: a record is taken when the disk has it; `os`: when the operating system has it. */
  readonly durability: 'fsync' | 'os';
}

interface Waiting {
  readonly record: AuditRecord;
  readonly resolve: () => void;
  readonly reject: (error: AuditSinkFailed) => void;
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: number;
  readonly openedAtMs: number;
  /** Of its first record. */
  readonly firstSeq: number;
  /** Up to the last record that was taken; what is behind it is cut off before the next one. */
  bytes: number;
}

/** Records that wait for the disk, at about 500 bytes each. */
const MAX_WAITING = 4_096;
const MAX_BATCH = 512;
const REMEMBER_END_AFTER_MS = 1_000;

/**
 * Appends chained records to a file. What arrives while a batch is being written makes the next batch. Files are rotated by
 * size and age; the chain goes on over rotations and restarts. A second file, `<path>.head`, remembers the end of the chain, so
 * that a file that was cut shorter is noticed. A file system may hang, so nothing here waits for it in the event loop, and one step is
 * under way at a time: the steps stay in order, and no more than one thread of Node's pool hangs with it.
 */
export class FileAuditSink extends AuditSink {
  #waiting: Waiting[] = [];
  #end: ChainEnd | undefined;
  #file: OpenFile | undefined;
  #working: Promise<void> | undefined;
  #rememberedSeq = -1;
  #rememberTimer: NodeJS.Timeout | undefined;
  #isRememberDue = false;
  #isCloseDue = false;

  constructor(
    private readonly options: AuditFileOptions,
    private readonly chain: AuditChain,
    private readonly deps: { readonly clock: Clock; readonly log: LogEvent },
  ) {
    super();
  }

  append(record: AuditRecord): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) return Promise.reject(new AuditSinkFailed('queue_full'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  async close(): Promise<void> {
    this.#isCloseDue = true;
    await (this.#working ??= this.#work());
  }

  /** Does all that is due, one step after the other. */
  async #work(): Promise<void> {
    // The requests that are handled in one turn of the event loop share a batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0 || this.#isRememberDue || this.#isCloseDue) {
      if (this.#isRememberDue) await this.#rememberEnd();
      if (this.#waiting.length > 0) await this.#writeBatch();
      else if (this.#isCloseDue) await this.#closeAll();
    }
    this.#working = undefined;
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#waiting.splice(0, MAX_BATCH);
    try {
      await this.#write(batch);
      for (const { resolve } of batch) resolve();
    } catch (error: unknown) {
      const failed = new AuditSinkFailed(errorCodeOf(error) ?? 'unknown');
      for (const { reject } of batch) reject(failed);
    }
  }

  async #closeAll(): Promise<void> {
    this.#isCloseDue = false;
    if (this.#file !== undefined) await this.#rememberEnd();
    clearTimeout(this.#rememberTimer);
    await this.#closeFile().catch(() => undefined);
  }

  /** Writes a batch whole, or leaves the file to be cut back to what it was. */
  async #write(batch: readonly Waiting[]): Promise<void> {
    const file = await this.#openedFile();
    let end = this.#end ?? CHAIN_BEGIN;
    let text = '';
    for (const { record } of batch) {
      const chained = this.chain.lineAfter(end, record);
      text += `${chained.line}\n`;
      end = chained.end;
    }
    const bytes = Buffer.from(text);
    try {
      for (let at = 0; at < bytes.length;)
        at += (await file.handle.write(bytes, at, bytes.length - at, null)).bytesWritten;
      if (this.options.durability === 'fsync') await file.handle.datasync();
    } catch (error: unknown) {
      await this.#cutBack(file);
      throw error;
    }
    file.bytes += bytes.length;
    this.#end = end;
    this.#rememberTimer ??= setTimeout(() => {
      this.#isRememberDue = true;
      this.#working ??= this.#work();
    }, REMEMBER_END_AFTER_MS).unref();
  }

  /** Returns the file to append to: opened, in its place, and rotated where it is due. */
  async #openedFile(): Promise<OpenFile> {
    const { path, maxFileBytes, maxFileAgeMs } = this.options;
    const found = this.#file && (await unlessMissing(stat(path)));
    if (this.#file !== undefined && (found?.ino !== this.#file.inode || found.size < this.#file.bytes)) {
      this.deps.log('error', 'audit_file_replaced', { seq: this.#end?.seq });
      await this.#closeFile();
    }
    const file = (this.#file ??= await this.#open());
    const isDue = file.bytes >= maxFileBytes || this.deps.clock.nowMs() - file.openedAtMs >= maxFileAgeMs;
    if (file.bytes === 0 || !isDue) return file;
    await this.#rotate(file);
    return (this.#file = await this.#open());
  }

  async #open(): Promise<OpenFile> {
    const { path } = this.options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, constants.O_APPEND | constants.O_CREAT | constants.O_RDWR, 0o600);
    try {
      const { ino: inode, size, birthtimeMs } = await handle.stat();
      const last = await lastLineOf(handle);
      if (last.tornBytes > 0) {
        // Nobody was answered for a record that was not written whole.
        this.deps.log('warn', 'audit_tail_cut', { bytes: last.tornBytes });
        await handle.truncate(size - last.tornBytes);
      }
      this.#end = await this.#endBehind(last.line);
      const bytes = size - last.tornBytes;
      // Makes the name of a new file durable.
      if (bytes === 0 && this.options.durability === 'fsync')
        await withFile(dirname(path), 'r', (folder) => folder.sync());
      const first = bytes > 0 ? this.chain.parse(await firstLineOf(handle)) : undefined;
      const firstSeq = first?.seq ?? this.#end.seq + 1;
      const openedAtMs = bytes > 0 && birthtimeMs > 0 ? birthtimeMs : this.deps.clock.nowMs();
      this.deps.log('info', 'audit_file_opened', { seq: this.#end.seq, last: this.#end.mac });
      return { handle, inode, openedAtMs, firstSeq, bytes };
    } catch (error: unknown) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Returns where the chain goes on. A batch that was refused, and could not be cut off again, is in the file nevertheless:
   * the trail may say more than callers were answered, and no number is given twice.
   */
  async #endBehind(lastLine: Buffer | undefined): Promise<ChainEnd> {
    if (this.#end === undefined) return this.#recoveredEnd(lastLine);
    const last = lastLine && this.chain.parse(lastLine);
    return last?.isGenuine === true && last.seq > this.#end.seq
      ? { seq: last.seq, mac: last.mac }
      : this.#end;
  }

  /** Returns where the chain ended before a restart: at the last record, or later where records have gone. A head that is missing beside lines was removed. */
  async #recoveredEnd(lastLine: Buffer | undefined): Promise<ChainEnd> {
    const line = lastLine ?? (await this.#lastRotatedLine());
    const parsed = line && this.chain.parse(line);
    const found: ChainEnd = parsed === undefined ? CHAIN_BEGIN : { seq: parsed.seq, mac: parsed.mac };
    const head = (await unlessMissing(readFile(`${this.options.path}.head`, 'utf8'))) ?? '';
    const remembered = head === '' && line === undefined ? CHAIN_BEGIN : this.chain.parseHead(head);
    const isWhole = remembered !== undefined && remembered.seq <= found.seq && parsed?.isGenuine !== false;
    // The chain goes on from the later end, so that `audit verify` finds what is missing from then on.
    if (!isWhole)
      this.deps.log('error', 'audit_records_missing', { found: found.seq, remembered: remembered?.seq });
    return remembered !== undefined && remembered.seq > found.seq ? remembered : found;
  }

  async #lastRotatedLine(): Promise<Buffer | undefined> {
    const { path } = this.options;
    const newest = rotatedAmong(await readdir(dirname(path)), path).at(-1);
    return newest === undefined ? undefined : (await withFile(newest, 'r', lastLineOf)).line;
  }

  async #rotate(file: OpenFile): Promise<void> {
    const { path, keptFiles } = this.options;
    await this.#rememberEnd();
    await rename(path, `${path}.${String(file.firstSeq).padStart(15, '0')}`);
    await this.#closeFile();
    const rotated = rotatedAmong(await readdir(dirname(path)), path);
    if (keptFiles > 0) for (const old of rotated.slice(0, -keptFiles)) await rm(old, { force: true });
  }

  /** Removes a batch that was not written whole. Where that fails too, the next batch opens the file anew and cuts it then. */
  async #cutBack(file: OpenFile): Promise<void> {
    await file.handle.truncate(file.bytes).catch(() => this.#closeFile());
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  /** The file of the end lags behind by a second at most where the disk is in time, and never leads. */
  async #rememberEnd(): Promise<void> {
    clearTimeout(this.#rememberTimer);
    this.#rememberTimer = undefined;
    this.#isRememberDue = false;
    const end = this.#end;
    if (end === undefined || end.seq === this.#rememberedSeq) return;
    try {
      // In place, and shorter than a sector: it is old or new, and a torn one does not verify.
      await withFile(`${this.options.path}.head`, constants.O_CREAT | constants.O_WRONLY, (file) =>
        file.write(this.chain.headText(end), 0),
      );
      this.#rememberedSeq = end.seq;
    } catch {
      // The records themselves say whether the disk works.
    }
  }
}
