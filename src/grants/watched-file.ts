import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Refusal } from './refused-file';
import { readSmallFile } from './small-file';

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
  const parsed = await inTurn(() => parse(file.text));
  if (!('refused' in parsed)) return { missing: false, digest, good: parsed };
  const problem = { reason: parsed.refused, line: parsed.line };
  return { missing: false, digest, problem, ...lastGood };
}

/** The last of those that were asked for. */
let turn: Promise<unknown> = Promise.resolve();

/** Between two files everybody else gets their turn, however many changed at once. */
function inTurn<T>(work: () => T): Promise<T> {
  const done = turn.then(() => setImmediate()).then(work);
  turn = done.catch(() => undefined);
  return done;
}
