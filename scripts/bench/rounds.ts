/** Returns the median; of an even count, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2;
}

/** Returns the value below which that share of all values is. */
export function percentile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Measures two things alternately, so that a slow minute of the machine affects both. */
export async function alternating<A, B>(
  rounds: number,
  first: (round: number) => Promise<A>,
  second: (round: number) => Promise<B>,
): Promise<readonly { readonly first: A; readonly second: B }[]> {
  const pairs: { first: A; second: B }[] = [];
  for (let round = 0; round < rounds; round++) {
    pairs.push({ first: await first(round), second: await second(round) });
  }
  return pairs;
}
