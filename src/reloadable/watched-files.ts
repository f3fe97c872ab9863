import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Clock, MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { Reloadable, Version } from './reloadable';

/** What some files hold at one moment, or a sentence why that cannot be said. */
type FileContents = readonly Uint8Array[] | { readonly problem: string };

/** The foreign error ends here, but for its code. */
function contentsOf(paths: readonly string[]): FileContents {
  const contents: Uint8Array[] = [];
  for (const path of paths) {
    try {
      contents.push(readFileSync(path));
    } catch (error: unknown) {
      const { code } = error as { code?: unknown };
      return { problem: `${path} cannot be read (${typeof code === 'string' ? code : 'unknown error'})` };
    }
  }
  return contents;
}

function areSame(one: FileContents | undefined, other: FileContents): boolean {
  if (one === undefined) return false;
  if ('problem' in one || 'problem' in other) {
    return 'problem' in one && 'problem' in other && one.problem === other.problem;
  }
  return one.every((bytes, index) => Buffer.compare(bytes, other[index] ?? new Uint8Array()) === 0);
}

/** Files that make one value together: a key, a client id with its secret, a certificate with its key. */
interface FilesOfValue<T> {
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
class ReloadedFiles<T> implements Reloadable<T> {
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

const LOOKS_EVERY_MS = 1_000;

/**
 * Looks at a handful of small files once a second. Reading them costs less than being told of their changes, which
 * depends on how the folder is mounted: Kubernetes swaps a link, editors rename, others write in place.
 */
export class WatchedFiles {
  readonly #reloaded: ReloadedFiles<unknown>[] = [];
  #stop: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {}

  /** @param initial what the files held when the settings were read; what they hold by now counts at once */
  follow<T>(files: FilesOfValue<T>, initial: T): Reloadable<T> {
    const followed = new ReloadedFiles(files, initial, this.clock, this.log);
    followed.renewed();
    this.#reloaded.push(followed as ReloadedFiles<unknown>);
    if (this.#reloaded.length === 1) this.#lookLater();
    return followed;
  }

  close(): void {
    this.#stop();
  }

  #lookLater(): void {
    this.#stop = this.time.after(LOOKS_EVERY_MS, () => {
      for (const followed of this.#reloaded) followed.look();
      this.#lookLater();
    });
  }
}
