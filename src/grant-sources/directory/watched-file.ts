import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Refusal } from '../../authz/plain-yaml';

type SmallFile =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Reads a file that somebody else put there: whatever it is, this neither blocks, nor fails, nor takes more than asked. */
async function readSmallFile(path: string, maxBytes: number): Promise<SmallFile> {
  try {
    // O_NONBLOCK, or opening a FIFO would wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) return unreadable('not a regular file');
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      for (let bytesRead = -1; bytesRead !== 0 && length <= maxBytes; length += bytesRead) {
        ({ bytesRead } = await file.read(buffer, length, buffer.length - length));
      }
      if (length > maxBytes) return unreadable(`larger than ${maxBytes} bytes`);
      return {
        kind: 'text',
        text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)),
      };
    } finally {
      await file.close();
    }
  } catch (error: unknown) {
    const code = codeOf(error);
    // Also of a link whose target is gone: a Kubernetes mount that drops a file shows as one for a moment.
    if (code === 'ENOENT') return { kind: 'missing' };
    return unreadable(
      code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not UTF-8 text' : `cannot be read (${code})`,
    );
  }
}

/** A file system error's code: its message would repeat whole paths. */
export function codeOf(error: unknown): string {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'unknown';
}

function unreadable(reason: string): SmallFile {
  return { kind: 'unreadable', reason };
}

/** What is known of one file after its latest reading. */
export interface WatchedFile<T> {
  readonly missing: boolean;
  /** The latest content that could be taken; not of a file that is gone: what was removed was withdrawn. */
  readonly good?: T;
  /** Why the present content is not `good`. */
  readonly problem?: { readonly reason: string; readonly line?: number };
  /** Of the present content, so that it is parsed, and its warnings are logged, once. */
  readonly digest?: string;
}

interface Format<T extends object> {
  readonly maxBytes: number;
  readonly parse: (text: string) => T | Refusal;
}

/** Reads the file again; the same object as `before` where nothing changed. */
export async function readWatchedFile<T extends object>(
  path: string,
  { maxBytes, parse }: Format<T>,
  before: WatchedFile<T> | undefined,
): Promise<WatchedFile<T>> {
  const file = await readSmallFile(path, maxBytes);
  if (file.kind === 'missing') return { missing: true };
  const lastGood = before?.good === undefined ? {} : { good: before.good };
  if (file.kind === 'unreadable') return { missing: false, problem: { reason: file.reason }, ...lastGood };
  const digest = createHash('sha256').update(file.text).digest('base64');
  if (before?.digest === digest) return before;
  const parsed = await composeMiddleware(() => parse(file.text));
  if (!('refused' in parsed)) return { missing: false, digest, good: parsed };
  const problem = { reason: parsed.refused, line: parsed.line };
  return { missing: false, digest, problem, ...lastGood };
}

/** The last of those that were asked for. */
let turn: Promise<unknown> = Promise.resolve();

/** Between two files everybody else gets their turn, however many changed at once. */
function composeMiddleware<T>(work: () => T): Promise<T> {
  const done = turn.then(() => setImmediate()).then(work);
  turn = done.catch(() => undefined);
  return done;
}
