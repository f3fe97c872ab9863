import { constants, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { errorCodeOf } from '../errors/domain-error';
import type { Clock, MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';

export interface Version<T> {
  readonly value: T;
  /** How long ago it became the current one, whatever was done to the clock since; Infinity for the one at the start. */
  readonly ageMs: () => number;
}

/** A value that an operator may replace while we run, such as a credential in a file. */
export interface Reloadable<T> {
  /** Returns the same object until the value changes. */
  current(): T;
  /** Reads the source first, for a caller that was refused with the current value. */
  renewed(): T;
  /** The latest few, the current one first. */
  readonly versions: readonly Version<T>[];
  whenChanged(listener: (value: T) => void): void;
}

/** Returns a value that never changes, such as one from an environment variable. */
export function fixed<T>(value: T): Reloadable<T> {
  return {
    current: () => value,
    renewed: () => value,
    versions: [{ value, ageMs: () => Infinity }],
    whenChanged: () => undefined,
  };
}

/** Files that make one value together: a key, a client id with its secret, a certificate with its key. */
interface FilesOfValue<T> {
  readonly paths: readonly string[];
  /** @throws Error with a sentence that is safe to print */
  readonly parse: (contents: readonly Uint8Array[], nowMs: number) => T;
  /** The prefix of its log events: `<kind>_reloaded`, `<kind>_reload_failed`. */
  readonly kind: 'credential' | 'tls';
  /** Its name in the log, e.g. the setting's name. */
  readonly name: string;
  /** Returns further fields that are safe to log. */
  readonly describe?: (value: T) => Readonly<Record<string, string>>;
}

const POLL_EVERY_MS = 1_000;

/** Reads a few small files each second: cheaper than watching them, and it works whether a link is replaced, or a file renamed or written in place. */
export class WatchedFiles {
  readonly #reloaded: ReloadedFiles<unknown>[] = [];
  #stop: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {}

  /** @param initial the value when the settings were read; a newer one in the files counts at once */
  follow<T>(files: FilesOfValue<T>, initial: T): Reloadable<T> {
    const reloaded = new ReloadedFiles(files, initial, this.clock, this.time, this.log);
    reloaded.renewed();
    this.#reloaded.push(reloaded as ReloadedFiles<unknown>);
    if (this.#reloaded.length === 1) this.#pollLater();
    return reloaded;
  }

  /** Follows the one file of a credential; a value that is in no file never changes. */
  followFile<T>(
    name: string,
    path: string | undefined,
    parse: (bytes: Uint8Array) => T,
    initial: T,
  ): Reloadable<T> {
    if (path === undefined) return fixed(initial);
    const parseOne = ([bytes = new Uint8Array()]: readonly Uint8Array[]): T => parse(bytes);
    return this.follow({ paths: [path], parse: parseOne, kind: 'credential', name }, initial);
  }

  close(): void {
    this.#stop();
  }

  #pollLater(): void {
    this.#stop = this.time.after(POLL_EVERY_MS, () => {
      for (const reloaded of this.#reloaded) reloaded.poll();
      this.#pollLater();
    });
  }
}

/** More than are accepted at the same time, so that a file that changes all the time does not fill the memory. */
const MAX_VERSIONS = 8;

/**
 * The value of some files. A new content counts once two polls in a row have read it, since a file may be read while it is
 * being written, and two files between their changes. An invalid content changes nothing and is logged once.
 */
class ReloadedFiles<T> implements Reloadable<T> {
  versions: readonly [Version<T>, ...Version<T>[]];
  readonly #listeners: ((value: T) => void)[] = [];
  /** The contents of the current value; undefined until it was read from the files. */
  #good: FileContents | undefined;
  #lastTaken: FileContents | undefined;
  #lastPolled: FileContents | undefined;

  /** @param initial the value when the settings were read */
  constructor(
    private readonly files: FilesOfValue<T>,
    initial: T,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    this.versions = [{ value: initial, ageMs: () => Infinity }];
  }

  current(): T {
    return this.versions[0].value;
  }

  whenChanged(listener: (value: T) => void): void {
    this.#listeners.push(listener);
  }

  renewed(): T {
    this.#take(contentsOf(this.files.paths));
    return this.current();
  }

  poll(): void {
    const contents = contentsOf(this.files.paths);
    const isSettled = isDeepStrictEqual(this.#lastPolled, contents);
    this.#lastPolled = contents;
    if (isSettled) this.#take(contents);
  }

  #take(contents: FileContents): void {
    if (isDeepStrictEqual(this.#lastTaken, contents)) return;
    this.#lastTaken = contents;
    // A bad change was undone.
    if (isDeepStrictEqual(this.#good, contents)) return;
    const { kind, name, describe, parse } = this.files;
    try {
      if ('problem' in contents) throw new Error(contents.problem);
      const value = parse(contents, this.clock.nowMs());
      const isFirst = this.#good === undefined;
      this.#good = contents;
      if (isFirst && isDeepStrictEqual(value, this.current())) return;
      const sinceMs = this.time.nowMs();
      const ageMs = (): number => this.time.nowMs() - sinceMs;
      this.versions = [{ value, ageMs }, ...this.versions.slice(0, MAX_VERSIONS - 1)];
      this.log('info', `${kind}_reloaded`, { name, ...describe?.(value) });
      for (const listener of this.#listeners) listener(value);
    } catch (error: unknown) {
      this.log('warn', `${kind}_reload_failed`, { name, problem: (error as Error).message });
    }
  }
}

/** The contents of some files at one moment, or a sentence why they cannot be read. */
type FileContents = readonly Uint8Array[] | { readonly problem: string };

/** Reads the files; of a file system error only the code is kept. */
function contentsOf(paths: readonly string[]): FileContents {
  const contents: Uint8Array[] = [];
  for (const path of paths) {
    try {
      contents.push(readFileSync(path));
    } catch (error: unknown) {
      return { problem: `${path} cannot be read (${errorCodeOf(error) ?? 'unknown error'})` };
    }
  }
  return contents;
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
