import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Longer than any record. */
const MAX_LINE_BYTES = 128 * 1024;
const NEWLINE = 0x0a;

/** Returns the rotated files of an audit file, the oldest first. */
export function rotatedFilesOf(path: string): readonly string[] {
  const folder = dirname(path);
  if (!existsSync(folder)) return [];
  const isRotated = (name: string): boolean =>
    name.startsWith(`${basename(path)}.`) && /^\d{15}$/.test(name.slice(basename(path).length + 1));
  return readdirSync(folder)
    .filter(isRotated)
    .sort()
    .map((name) => join(folder, name));
}

/** Returns which file lies at a path; undefined where none does. */
export function inodeAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Returns the last whole line of a file, without its newline, and how many bytes follow it. */
export function lastLineOf(
  fd: number,
  size: number,
): { readonly line: Buffer | undefined; readonly tornBytes: number } {
  const from = Math.max(0, size - MAX_LINE_BYTES);
  const bytes = readAt(fd, from, size - from);
  const end = bytes.lastIndexOf(NEWLINE);
  if (end < 0) return { line: undefined, tornBytes: bytes.length };
  const begin = end === 0 ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1;
  return { line: bytes.subarray(begin, end), tornBytes: bytes.length - end - 1 };
}

/** Returns the first line of a file, without its newline. */
export function firstLineOf(fd: number): Buffer {
  const bytes = readAt(fd, 0, MAX_LINE_BYTES);
  const end = bytes.indexOf(NEWLINE);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Makes a new file's name durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function readAt(fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, from));
}
