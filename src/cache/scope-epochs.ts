/** How many scopes are remembered one by one; a write to any other is then taken to be as late as the latest forgotten one. */
const MAX_SCOPES = 100_000;

/**
 * Which of two comes first, the beginning of a read or the end of a write: what was read before the last write to its
 * scope ended is superseded, however late it arrives.
 */
export class ScopeEpochs {
  #now = 0;
  #forgotten = 0;
  /** Scopes in the order of their last write. */
  readonly #raised = new Map<string, number>();

  constructor(private readonly maxScopes = MAX_SCOPES) {}

  /** How many scopes are remembered one by one. */
  get remembered(): number {
    return this.#raised.size;
  }

  /** What a read that begins now is as of. */
  get now(): number {
    return this.#now;
  }

  /** A write to this scope ended. */
  raise(scope: string): void {
    this.#now += 1;
    this.#raised.delete(scope);
    this.#raised.set(scope, this.#now);
    if (this.#raised.size > this.maxScopes) this.#forgetOldest();
  }

  /** A write ended whose scope is not known. */
  raiseAll(): void {
    this.#now += 1;
    this.#forgotten = this.#now;
    this.#raised.clear();
  }

  /** Whether a write to this scope ended since a read that was as of then began. */
  supersedes(scope: string, asOf: number): boolean {
    return asOf < (this.#raised.get(scope) ?? this.#forgotten);
  }

  #forgetOldest(): void {
    for (const [scope, epoch] of this.#raised) {
      this.#raised.delete(scope);
      this.#forgotten = epoch;
      return;
    }
  }
}
