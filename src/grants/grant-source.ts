import type { InstalledApp } from './installed-app';

/** Something an operator should mend; it may name files and apps, never a key or a secret. */
export interface GrantProblem {
  /** The file or resource, e.g. `otmoiclp/OlaresManifest.yaml`. */
  readonly source: string;
  readonly reason: string;
  /** 1-based, where the source is a text file and the line is known. */
  readonly line?: number;
  /** Whether the app is still served from its last good state. */
  readonly servedFromLastGood: boolean;
}

export interface GrantSourceStatus {
  /** True after the first complete load; no decision is made before. */
  readonly ready: boolean;
  readonly installedApps: number;
  readonly problems: readonly GrantProblem[];
}

/**
 * Knows the installed apps and their grants. Every implementation passes describeGrantSource().
 * Look-ups are synchronous and constant in time: an implementation swaps whole compiled snapshots.
 * Two apps with the same app key, or the same (user, app): none of them is served, and a problem says so.
 */
export abstract class GrantSource {
  abstract find(user: string, app: string): InstalledApp | undefined;
  abstract findByKey(appKey: string): InstalledApp | undefined;
  abstract status(): GrantSourceStatus;
  abstract close(): Promise<void>;
}
