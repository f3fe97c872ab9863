/** Told by a store that keeps what it read. */
export interface ReadReport {
  /** The answer is what was read so long ago: the store could not be asked whether it still holds. */
  servedStale(ageMs: number): void;
  /** The list is without these, which are there and cannot be read. A list that nobody can be told of fails instead. */
  unreadable?(names: readonly string[]): void;
}
