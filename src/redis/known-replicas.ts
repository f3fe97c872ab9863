/** Two beats may be late, or one be lost. */
const SILENT_AFTER_MS = 1_500;
/** Whoever ended without a word is not waited for longer than this. */
const FORGOTTEN_AFTER_MS = 300_000;

interface Replica {
  readonly wrote: number;
  readonly heardAtMs: number;
}

/** Who else is there, whether each of them is still heard, and how many writes each has told of. */
export class KnownReplicas {
  readonly #known = new Map<string, Replica>();

  /** Whether all of these are heard; those who have been silent for long are gone. */
  areHeard(nowMs: number): boolean {
    for (const [from, { heardAtMs }] of this.#known) {
      const silentMs = nowMs - heardAtMs;
      if (silentMs > FORGOTTEN_AFTER_MS) this.#known.delete(from);
      else if (silentMs > SILENT_AFTER_MS) return false;
    }
    return true;
  }

  isHeard(from: string, nowMs: number): boolean {
    const replica = this.#known.get(from);
    return replica !== undefined && nowMs - replica.heardAtMs <= SILENT_AFTER_MS;
  }

  /** Notes that it was heard. The answer: whether writes of it were missed, or may have been. */
  hear(from: string, wrote: number, tellsOfOne: boolean, nowMs: number): boolean {
    const before = this.#known.get(from);
    this.#known.set(from, { wrote: Math.max(wrote, before?.wrote ?? 0), heardAtMs: nowMs });
    if (before === undefined) return wrote > (tellsOfOne ? 1 : 0);
    return wrote > before.wrote + (tellsOfOne ? 1 : 0);
  }

  forget(from: string): void {
    this.#known.delete(from);
  }
}
