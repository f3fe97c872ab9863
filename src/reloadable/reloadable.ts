export interface Version<T> {
  readonly value: T;
  /** When it became the current one, in milliseconds since the epoch; -Infinity for the one at the start. */
  readonly sinceMs: number;
}

/** A value that an operator may replace while we run, such as a credential in a file. */
export interface Reloadable<T> {
  /** Returns the same object until the value changes. */
  current(): T;
  /** Reads the source first, for a caller that was refused with the current value. */
  renewed(): T;
  /** Returns the latest few, the current one first. */
  versions(): readonly Version<T>[];
  whenChanged(listener: (value: T) => void): void;
}

/** Returns a value that never changes, such as one from an environment variable. */
export function fixed<T>(value: T): Reloadable<T> {
  const versions = [{ value, sinceMs: -Infinity }];
  return {
    current: () => value,
    renewed: () => value,
    versions: () => versions,
    whenChanged: () => undefined,
  };
}

/** Returns the current value, and each earlier one that was replaced less than `graceMs` ago. */
export function acceptedValues<T>(reloadable: Reloadable<T>, graceMs: number, nowMs: number): readonly T[] {
  const versions = reloadable.versions();
  const replacedMs = (index: number): number => versions[index - 1]?.sinceMs ?? Infinity;
  return versions.filter((_, index) => nowMs < replacedMs(index) + graceMs).map(({ value }) => value);
}
