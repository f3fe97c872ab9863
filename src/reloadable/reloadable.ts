export interface Version<T> {
  readonly value: T;
  /** Since when it is the current one, in milliseconds since the epoch; -Infinity for the one at the start. */
  readonly sinceMs: number;
}

/** A value that somebody may replace while we run, such as a credential in a file. */
export interface Reloadable<T> {
  /** The same object until it changes. */
  current(): T;
  /** The same, after a look whether it changed just now: for who was refused with the current one. */
  renewed(): T;
  /** The latest few, the current one first. */
  versions(): readonly Version<T>[];
  whenChanged(listener: (value: T) => void): void;
}

/** What comes from the environment stays as it is. */
export function fixed<T>(value: T): Reloadable<T> {
  const versions = [{ value, sinceMs: -Infinity }];
  return {
    current: () => value,
    renewed: () => value,
    versions: () => versions,
    whenChanged: () => undefined,
  };
}

/** The current value, and each other one until `graceMs` after it was replaced. */
export function stillGood<T>(reloadable: Reloadable<T>, graceMs: number, nowMs: number): readonly T[] {
  const versions = reloadable.versions();
  const replacedMs = (index: number): number => versions[index - 1]?.sinceMs ?? Infinity;
  return versions.filter((_, index) => nowMs < replacedMs(index) + graceMs).map(({ value }) => value);
}
