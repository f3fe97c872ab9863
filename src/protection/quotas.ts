import { QuotaExceeded, type QuotaLimit } from '../errors/store-errors';
import type { Usage } from '../secrets/usage';

/** The most that may be kept in one workspace and environment, and by one user; Infinity where there is no limit. */
export interface Quotas {
  readonly workspace: Usage;
  readonly user: Usage;
}

/** Whoever wants to know which quotas are met. */
export interface QuotaObserver {
  quotaExceeded(limit: QuotaLimit): void;
}

/**
 * The limit that a change breaks; undefined where it breaks none, or nothing grows by it.
 * @param usage with the change in it
 */
export function exceededBy(change: Usage, usage: Quotas, quotas: Quotas): QuotaExceeded | undefined {
  for (const of of ['workspace', 'user'] as const) {
    const { secrets, bytes } = usage[of];
    const max = quotas[of];
    if (change.secrets > 0 && secrets > max.secrets)
      return new QuotaExceeded(`${of}_secrets`, max.secrets, secrets - change.secrets);
    if (change.bytes > 0 && bytes > max.bytes)
      return new QuotaExceeded(`${of}_bytes`, max.bytes, bytes - change.bytes);
  }
  return undefined;
}
