import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock/clock';
import type { LogEvent } from '../logging/log';
import { areSame, contentsOf, type FileContents } from './file-contents';
import type { Rotating, Version } from './rotating';

/** Files that make one value together: a key, a client id with its secret, a certificate with its key. */
export interface FilesOfValue<T> {
  readonly paths: readonly string[];
  /** @throws Error with a sentence that is safe to print */
  readonly parse: (contents: readonly Uint8Array[], nowMs: number) => T;
  /** Begins the names of its events: `<kind>_reloaded`, `<kind>_reload_failed`. */
  readonly kind: 'credential' | 'tls';
  /** What the log calls it, e.g. the setting's name. */
  readonly name: string;
  /** What else may be logged of it. */
  readonly describe?: (value: T) => Readonly<Record<string, string>>;
}

/** More than anybody accepts at the same time, so that a file that changes all the time fills no memory. */
const VERSIONS_KEPT = 8;

/**
 * The value of some files. A new content counts once two looks in a row have found it, since a file may be seen while
 * it is written, and two files between their changes. A content that makes no value changes nothing and is logged once.
 */
export class FollowedFiles<T> implements Rotating<T> {
  #versions: readonly [Version<T>, ...Version<T>[]];
  readonly #listeners: ((value: T) => void)[] = [];
  /** What made the current value; undefined where that was not in the files any more. */
  #good: FileContents | undefined;
  #judged: FileContents | undefined;
  #seen: FileContents | undefined;

  /** @param initial what the files held when the settings were read */
  constructor(
    private readonly files: FilesOfValue<T>,
    initial: T,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {
    this.#versions = [{ value: initial, sinceMs: -Infinity }];
  }

  current(): T {
    return this.#versions[0].value;
  }

  versions(): readonly Version<T>[] {
    return this.#versions;
  }

  whenChanged(listener: (value: T) => void): void {
    this.#listeners.push(listener);
  }

  renewed(): T {
    this.#judge(contentsOf(this.files.paths));
    return this.current();
  }

  look(): void {
    const contents = contentsOf(this.files.paths);
    const isSettled = areSame(this.#seen, contents);
    this.#seen = contents;
    if (isSettled) this.#judge(contents);
  }

  #judge(contents: FileContents): void {
    if (areSame(this.#judged, contents)) return;
    this.#judged = contents;
    // Somebody took a bad change back.
    if (areSame(this.#good, contents)) return;
    const { kind, name, describe, parse } = this.files;
    try {
      if ('problem' in contents) throw new Error(contents.problem);
      const sinceMs = this.clock.nowMs();
      const value = parse(contents, sinceMs);
      const isFirst = this.#good === undefined;
      this.#good = contents;
      if (isFirst && isDeepStrictEqual(value, this.current())) return;
      this.#versions = [{ value, sinceMs }, ...this.#versions.slice(0, VERSIONS_KEPT - 1)];
      this.log('info', `${kind}_reloaded`, { name, ...describe?.(value) });
      for (const listener of this.#listeners) listener(value);
    } catch (error: unknown) {
      this.log('warn', `${kind}_reload_failed`, { name, problem: (error as Error).message });
    }
  }
}
