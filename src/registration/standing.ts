import { isDeepStrictEqual } from 'node:util';
import type { Manifest } from './manifests';

/**
 * How an object of the cluster stands to what we want: as wanted, drifted from it, or another provider's
 * for the same data.
 */
export type Standing = 'right' | 'drifted' | 'rival';

/** @param body the object as the API server shows it */
export function standingOf(body: Readonly<Record<string, unknown>>, wanted: Manifest): 'right' | 'drifted' {
  return contains(body, wanted) ? 'right' : 'drifted';
}

/** Every wanted field is there as wanted; arrays must be equal as a whole. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) {
    return isDeepStrictEqual(actual, wanted);
  }
  if (typeof actual !== 'object' || actual === null) return false;
  const fields = actual as Readonly<Record<string, unknown>>;
  return Object.entries(wanted).every(([name, value]) => contains(fields[name], value));
}
