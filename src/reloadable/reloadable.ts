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
  /** The latest few, the current one first. */
  readonly versions: readonly Version<T>[];
  whenChanged(listener: (value: T) => void): void;
}

/** Returns a value that never changes, such as one from an environment variable. */
export function fixed<T>(value: T): Reloadable<T> {
  return {
    current: () => value,
    renewed: () => value,
    versions: [{ value, sinceMs: -Infinity }],
    whenChanged: () => undefined,
  };
}
