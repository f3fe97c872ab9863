import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCodeOf } from '../errors/domain-error';
import { type AuditChain, CHAIN_BEGIN, type ChainEnd } from './audit-chain';

/** Longer than any record. */
const MAX_LINE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** Returns the rotated files of an audit file, the oldest first. */
export function rotatedFilesOf(path: string): readonly string[] {
  const folder = dirname(path);
  return existsSync(folder) ? rotatedAmong(readdirSync(folder), path) : [];
}

/** Returns those of the files in its folder, the oldest first. */
export function rotatedAmong(names: readonly string[], path: string): readonly string[] {
  const isRotated = (name: string): boolean =>
    name.startsWith(`${basename(path)}.`) && /^\d{15}$/.test(name.slice(basename(path).length + 1));
  return names
    .filter(isRotated)
    .sort()
    .map((name) => join(dirname(path), name));
}

/** Returns which file lies at a path; undefined where none does. */
export function inodeAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Returns the last whole line of a file, without its newline, and how many bytes follow it. */
export async function lastLineOf(
  file: FileHandle,
): Promise<{ readonly line: Buffer | undefined; readonly tornBytes: number }> {
  const { size } = await file.stat();
  const from = Math.max(0, size - MAX_LINE_BYTES);
  const bytes = await readAt(file, from, size - from);
  const end = bytes.lastIndexOf(NEWLINE);
  if (end < 0) return { line: undefined, tornBytes: bytes.length };
  const begin = end === 0 ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1;
  return { line: bytes.subarray(begin, end), tornBytes: bytes.length - end - 1 };
}

/** Returns the first line of a file, without its newline. */
export async function firstLineOf(file: FileHandle): Promise<Buffer> {
  const bytes = await readAt(file, 0, MAX_LINE_BYTES);
  const end = bytes.indexOf(NEWLINE);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Opens a file for some work, and closes it. A file that is made is for its owner alone. */
export async function withFile<T>(
  path: string,
  flags: string | number,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** Resolves to undefined where the file that is read is missing. */
export function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch((error: unknown) => {
    if (!['ENOENT', 'ENOTDIR'].includes(errorCodeOf(error) ?? '')) throw error;
    return undefined;
  });
}

async function readAt(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, (await file.read(bytes, 0, length, from)).bytesRead);
}

/** A line of an audit file, without its newline. */
interface AuditLine {
  /** Only valid until the next one is read. */
  readonly line: Buffer;
  /** False where the end of the file cuts it off, or it is longer than any record, of which only the beginning is held. */
  readonly isWhole: boolean;
}

/** Makes lines of the chunks of a file. */
export class LineSplitter {
  #rest = Buffer.alloc(0);
  #isTooLong = false;

  /** What follows the last newline. */
  get rest(): Buffer {
    return this.#rest;
  }

  /** Yields the lines that end in the chunk, which must be the next one of the file. */
  *linesIn(chunk: Buffer): Generator<AuditLine> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let begin = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, begin)) {
      yield { line: bytes.subarray(begin, end), isWhole: !this.#isTooLong };
      this.#isTooLong = false;
      begin = end + 1;
    }
    this.#isTooLong ||= bytes.length - begin > MAX_LINE_BYTES;
    this.#rest = Buffer.from(bytes.subarray(begin, begin + MAX_LINE_BYTES));
  }
}

/**
 * Yields the lines of a file, one after the other.
 * @param path 0 for standard input
 */
export function* linesOf(path: string | 0): Generator<AuditLine> {
  const fd = path === 0 ? 0 : openSync(path, 'r');
  const splitter = new LineSplitter();
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = readSync(fd, chunk, 0, CHUNK_BYTES, null);
      if (read === 0) break;
      yield* splitter.linesIn(chunk.subarray(0, read));
    }
    if (splitter.rest.length > 0) yield { line: splitter.rest, isWhole: false };
  } finally {
    closeSync(fd);
  }
}

/** One fault of a trail, and where it is. */
export interface AuditFault {
  readonly kind: 'edited' | 'missing' | 'reordered' | 'cut' | 'truncated' | 'head';
  readonly file: string;
  /** From 1; absent where the fault is not in a line. */
  readonly line?: number;
  /** The numbers of the records that it concerns, as far as they are known. */
  readonly from?: number;
  readonly to?: number;
}

interface AuditVerdict {
  readonly records: number;
  readonly first: number;
  readonly last: ChainEnd;
  /** The first hundred. */
  readonly faults: readonly AuditFault[];
}

const MAX_FAULTS = 100;

/**
 * Checks the chain over audit files, the oldest first: each record is as it was written, and follows the one before it.
 * @param headFile the file that remembers the end of the chain, where it is there
 */
export function verifyAuditFiles(
  files: readonly string[],
  headFile: string | undefined,
  chain: AuditChain,
): AuditVerdict {
  const check = new ChainCheck(chain);
  for (const file of files) check.file(file);
  if (headFile !== undefined) check.head(headFile);
  return check.verdict();
}

class ChainCheck {
  readonly #faults: AuditFault[] = [];
  #records = 0;
  #first: number | undefined;
  #last: ChainEnd = CHAIN_BEGIN;
  #file = '';

  constructor(private readonly chain: AuditChain) {}

  file(path: string): void {
    this.#file = basename(path);
    let number = 0;
    for (const { line, isWhole } of linesOf(path)) {
      number += 1;
      if (isWhole) this.#line(line, number);
      else this.#fault('cut', number, this.#last.seq + 1);
    }
  }

  head(path: string): void {
    this.#file = basename(path);
    const remembered = this.chain.parseHead(readFileSync(path, 'utf8'));
    if (remembered === undefined) this.#fault('head');
    else if (remembered.seq > this.#last.seq)
      this.#fault('truncated', undefined, this.#last.seq + 1, remembered.seq);
  }

  verdict(): AuditVerdict {
    return { records: this.#records, first: this.#first ?? 0, last: this.#last, faults: this.#faults };
  }

  #line(line: Buffer, number: number): void {
    this.#records += 1;
    const record = this.chain.parse(line);
    const expected = this.#last.seq + 1;
    if (record?.isGenuine !== true) {
      this.#fault('edited', number, record?.seq ?? expected);
      // The next record says whether this one stood where it belongs: `prev` of an edited one is not to be believed.
      this.#last = { seq: expected, mac: record?.mac ?? '' };
      return;
    }
    const { seq, prev, mac } = record;
    if (this.#first === undefined) this.#first = seq;
    else if (seq < expected) {
      this.#reordered(number, seq);
      return;
    } else if (seq > expected) this.#fault('missing', number, expected, seq - 1);
    // Its own mac is good: the record before it is not the one that was there when this one was written.
    else if (prev !== this.#last.mac && !this.#isFaulty(expected - 1))
      this.#fault('edited', number - 1, expected - 1);
    this.#last = { seq, mac };
  }

  /** A record that stands behind a later one was not missing where it was missed. */
  #reordered(number: number, seq: number): void {
    const at = this.#faults.findIndex(
      ({ kind, from = 0, to = 0 }) => kind === 'missing' && from <= seq && seq <= to,
    );
    const gap = this.#faults[at];
    if (gap !== undefined) {
      const { from = seq, to = seq } = gap;
      const parts = [
        { ...gap, to: seq - 1 },
        { ...gap, from: seq + 1 },
      ];
      this.#faults.splice(at, 1, ...parts.filter((part) => (part.from ?? from) <= (part.to ?? to)));
    }
    this.#fault('reordered', number, seq);
  }

  #isFaulty(seq: number): boolean {
    return this.#faults.some(({ from = -1, to = from }) => from <= seq && seq <= to);
  }

  #fault(kind: AuditFault['kind'], line?: number, from?: number, to = from): void {
    if (this.#faults.length >= MAX_FAULTS) return;
    const where = {
      ...(line !== undefined && { line }),
      ...(from !== undefined && { from, to: to ?? from }),
    };
    this.#faults.push({ kind, file: this.#file, ...where });
  }
}
