import type { Secret } from './secret';

/** How much secrets take of a quota. */
export interface Usage {
  readonly secrets: number;
  readonly bytes: number;
}

/** The usage of one scope. */
export interface ScopeUsage extends Usage {
  /** Bytes of single secrets by name, as far as the store learnt them on the way. */
  readonly sizes?: ReadonlyMap<string, number>;
}

/** What one secret takes: its name and its value in UTF-8. */
export function bytesOf({ name, value }: Secret): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value);
}

export function usageOf(sizes: ReadonlyMap<string, number>): ScopeUsage {
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  return { secrets: sizes.size, bytes, sizes };
}
