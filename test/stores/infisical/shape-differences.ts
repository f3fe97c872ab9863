/** Where two JSON values differ in keys and types; an empty list fits any list. */
export function shapeDifferences(expected: unknown, actual: unknown, path = '$'): string[] {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (expected.length === 0 || actual.length === 0) return [];
    return actual.flatMap((item: unknown, at) => {
      const tries = expected.map((sample: unknown) => shapeDifferences(sample, item, `${path}[${at}]`));
      return tries.some((found) => found.length === 0) ? [] : (tries[0] ?? []);
    });
  }
  if (typeOf(expected) !== typeOf(actual)) return [`${path}: ${typeOf(expected)} became ${typeOf(actual)}`];
  if (typeOf(expected) !== 'object') return [];
  const [wanted, given] = [expected as Record<string, unknown>, actual as Record<string, unknown>];
  const missing = Object.keys(wanted).filter((key) => !(key in given));
  const duplicates = Object.keys(given).filter((key) => !(key in wanted));
  return [
    ...missing.map((key) => `${path}.${key} is missing`),
    ...duplicates.map((key) => `${path}.${key} is new`),
    ...Object.keys(wanted)
      .filter((key) => key in given)
      .flatMap((key) => shapeDifferences(wanted[key], given[key], `${path}.${key}`)),
  ];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'list' : typeof value;
}
