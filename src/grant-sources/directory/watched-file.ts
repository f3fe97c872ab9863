import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { errorCodeOf } from '../../errors/domain-error';
import type { Refusal } from '../../authz/plain-yaml';

/** The state of one file after its latest reading. */
export interface WatchedFile<T> {
  readonly missing: boolean;
  /** The latest content that could be parsed; absent for a file that is gone, since a removal withdraws the content. */
  readonly good?: T;
  /** Why the present content is not `good`. */
  readonly problem?: { readonly reason: string; readonly line?: number };
  /** The digest of the present content, so that it is parsed, and its warnings are logged, once. */
  readonly digest?: string;
}

interface Format<T extends object> {
  readonly maxBytes: number;
  readonly parse: (text: string) => T | Refusal;
}

/** Reads the file again; returns `before` itself where nothing changed. */
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
  const parsed = await runAfterOthers(() => parse(file.text));
  if (!('refused' in parsed)) return { missing: false, digest, good: parsed };
  const problem = { reason: parsed.refused, line: parsed.line };
  return { missing: false, digest, problem, ...lastGood };
}

let lastWork: Promise<unknown> = Promise.resolve();

/** Runs one piece of work in each turn of the event loop, so that requests are served between two files. */
function runAfterOthers<T>(work: () => T): Promise<T> {
  const done = lastWork.then(() => setImmediate()).then(work);
  lastWork = done.catch(() => undefined);
  return done;
}

type SmallFile =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Reads a file that anybody may have put there. Whatever it is, this neither blocks, nor throws, nor reads more than `maxBytes`. */
export async function readSmallFile(path: string, maxBytes: number): Promise<SmallFile> {
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
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
    // Its message would repeat whole paths.
    const code = errorCodeOf(error) ?? 'unknown';
    // A link without its target is missing too: a Kubernetes mount that removes a file looks like that for a moment.
    if (code === 'ENOENT') return { kind: 'missing' };
    return unreadable(
      code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not UTF-8 text' : `cannot be read (${code})`,
    );
  }
}

function unreadable(reason: string): SmallFile {
  return { kind: 'unreadable', reason };
}
