import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { errorCodeOf } from '../errors/domain-error';
import type { LogEvent } from '../logging/log';
import type { Clock } from '../time/clock';
import { type AuditChain, CHAIN_BEGIN, type ChainEnd } from './audit-chain';
import { type AuditRecord, AuditSink, AuditSinkFailed } from './audit-sink';
import { firstLineOf, inodeAt, lastLineOf, rotatedFilesOf, withFile } from './audit-files';

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
  readonly fd: number;
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

const writeTo = promisify(fs.write);
const synced = promisify(fs.fdatasync);

/**
 * Appends chained records to a file. What arrives while a batch is being written makes the next batch. Files are rotated by
 * size and age; the chain goes on over rotations and restarts. A second file, `<path>.head`, remembers the end of the chain, so
 * that a file that was cut shorter is noticed.
 */
export class FileAuditSink extends AuditSink {
  #waiting: Waiting[] = [];
  #end: ChainEnd | undefined;
  #file: OpenFile | undefined;
  #writing: Promise<void> | undefined;
  #rememberedSeq = -1;
  #rememberTimer: NodeJS.Timeout | undefined;

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
      this.#writing ??= this.#writeAll();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#rememberTimer);
    if (this.#file === undefined) return;
    this.#rememberEnd();
    this.#closeFile();
  }

  async #writeAll(): Promise<void> {
    // The requests that are handled in one turn of the event loop share a batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      try {
        await this.#write(batch);
        for (const { resolve } of batch) resolve();
      } catch (error: unknown) {
        const failed = new AuditSinkFailed(errorCodeOf(error) ?? 'unknown');
        for (const { reject } of batch) reject(failed);
      }
    }
    this.#writing = undefined;
  }

  /** Writes a batch whole, or leaves the file to be cut back to what it was. */
  async #write(batch: readonly Waiting[]): Promise<void> {
    const file = this.#openedFile();
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
        at += (await writeTo(file.fd, bytes, at, bytes.length - at, null)).bytesWritten;
      if (this.options.durability === 'fsync') await synced(file.fd);
    } catch (error: unknown) {
      this.#cutBack(file);
      throw error;
    }
    file.bytes += bytes.length;
    this.#end = end;
    this.#rememberTimer ??= setTimeout(() => this.#rememberEnd(), REMEMBER_END_AFTER_MS).unref();
  }

  /** Returns the file to append to: opened, in its place, and rotated where it is due. */
  #openedFile(): OpenFile {
    const { path, maxFileBytes, maxFileAgeMs } = this.options;
    if (this.#file !== undefined && inodeAt(path) !== this.#file.inode) {
      this.deps.log('error', 'audit_file_replaced', { seq: this.#end?.seq });
      this.#closeFile();
    }
    const file = (this.#file ??= this.#open());
    const isDue = file.bytes >= maxFileBytes || this.deps.clock.nowMs() - file.openedAtMs >= maxFileAgeMs;
    if (file.bytes === 0 || !isDue) return file;
    this.#rotate(file);
    return (this.#file = this.#open());
  }

  #open(): OpenFile {
    const { path } = this.options;
    fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = fs.openSync(path, fs.constants.O_APPEND | fs.constants.O_CREAT | fs.constants.O_RDWR, 0o600);
    try {
      const { ino: inode, size, birthtimeMs } = fs.fstatSync(fd);
      const last = lastLineOf(fd);
      if (last.tornBytes > 0) {
        // Nobody was answered for a record that was not written whole.
        this.deps.log('warn', 'audit_tail_cut', { bytes: last.tornBytes });
        fs.ftruncateSync(fd, size - last.tornBytes);
      }
      this.#end = this.#endBehind(last.line);
      const bytes = size - last.tornBytes;
      // Makes the name of a new file durable.
      if (bytes === 0 && this.options.durability === 'fsync') withFile(dirname(path), 'r', fs.fsyncSync);
      const firstSeq = (bytes > 0 ? this.chain.parse(firstLineOf(fd))?.seq : undefined) ?? this.#end.seq + 1;
      const openedAtMs = bytes > 0 && birthtimeMs > 0 ? birthtimeMs : this.deps.clock.nowMs();
      this.deps.log('info', 'audit_file_opened', { seq: this.#end.seq, last: this.#end.mac });
      return { fd, inode, openedAtMs, firstSeq, bytes };
    } catch (error: unknown) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /**
   * Returns where the chain goes on. A batch that was refused, and could not be cut off again, is in the file nevertheless:
   * the trail may say more than callers were answered, and no number is given twice.
   */
  #endBehind(lastLine: Buffer | undefined): ChainEnd {
    if (this.#end === undefined) return this.#recoveredEnd(lastLine);
    const last = lastLine && this.chain.parse(lastLine);
    return last?.isGenuine === true && last.seq > this.#end.seq
      ? { seq: last.seq, mac: last.mac }
      : this.#end;
  }

  /** Returns where the chain ended before a restart: at the last record, or later where records have gone. */
  #recoveredEnd(lastLine: Buffer | undefined): ChainEnd {
    const { path } = this.options;
    const parsed = this.chain.parse(lastLine ?? this.#lastRotatedLine() ?? Buffer.alloc(0));
    const found: ChainEnd = parsed === undefined ? CHAIN_BEGIN : { seq: parsed.seq, mac: parsed.mac };
    const remembered = fs.existsSync(`${path}.head`)
      ? this.chain.parseHead(fs.readFileSync(`${path}.head`, 'utf8'))
      : CHAIN_BEGIN;
    const isWhole = remembered !== undefined && remembered.seq <= found.seq && parsed?.isGenuine !== false;
    // The chain goes on from the later end, so that `audit verify` finds what is missing from then on.
    if (!isWhole)
      this.deps.log('error', 'audit_records_missing', { found: found.seq, remembered: remembered?.seq });
    return remembered !== undefined && remembered.seq > found.seq ? remembered : found;
  }

  #lastRotatedLine(): Buffer | undefined {
    const newest = rotatedFilesOf(this.options.path).at(-1);
    return newest === undefined ? undefined : withFile(newest, 'r', lastLineOf).line;
  }

  #rotate(file: OpenFile): void {
    const { path, keptFiles } = this.options;
    this.#rememberEnd();
    fs.renameSync(path, `${path}.${String(file.firstSeq).padStart(15, '0')}`);
    this.#closeFile();
    const rotated = rotatedFilesOf(path);
    if (keptFiles > 0) for (const old of rotated.slice(0, -keptFiles)) fs.rmSync(old);
  }

  /** Removes a batch that was not written whole. Where that fails too, the next batch opens the file anew and cuts it then. */
  #cutBack(file: OpenFile): void {
    try {
      fs.ftruncateSync(file.fd, file.bytes);
    } catch {
      this.#closeFile();
    }
  }

  #closeFile(): void {
    if (this.#file !== undefined) fs.closeSync(this.#file.fd);
    this.#file = undefined;
  }

  /** The file of the end lags behind by a second at most, and never leads. */
  #rememberEnd(): void {
    this.#rememberTimer = undefined;
    const end = this.#end;
    if (end === undefined || end.seq === this.#rememberedSeq) return;
    try {
      // In place, and shorter than a sector: it is old or new, and a torn one does not verify.
      const flags = fs.constants.O_CREAT | fs.constants.O_WRONLY;
      withFile(`${this.options.path}.head`, flags, (fd) => fs.writeSync(fd, this.chain.headText(end), 0));
      this.#rememberedSeq = end.seq;
    } catch {
      // The records themselves say whether the disk works.
    }
  }
}
