import { GrantsUnavailable } from '../errors/authz-errors';
import type { InstalledApp } from './grant';
import type { SharedWorkspace } from './workspace-holders';

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
  /** True after the first complete load, and while the source can vouch for it; no decision is made without. */
  readonly ready: boolean;
  /** Why not, as a clause that a caller may read; a source that is not loaded yet need not say it. */
  readonly unavailableBecause?: string;
  readonly installedApps: number;
  readonly problems: readonly GrantProblem[];
}

/**
 * Knows the installed apps and their grants. Every implementation passes describeGrantSource().
 * Look-ups are synchronous and constant in time, and see each change whole: it happens in one synchronous step.
 * Two apps with the same app key, or the same (user, app): none of them is served, and a problem says so.
 */
export abstract class GrantSource {
  abstract find(user: string, app: string): InstalledApp | undefined;
  abstract findByKey(appKey: string): InstalledApp | undefined;
  /** The apps that state any grant on a user's workspace, served or not, the one that was installed first first; [] where none does. */
  abstract holdersOf(user: string, workspace: string): readonly string[];
  abstract sharedWorkspaces(): readonly SharedWorkspace[];
  abstract status(): GrantSourceStatus;
  abstract close(): Promise<void>;

  /** How long ago the source last had proof that it knows all; undefined where it reads what it decides on. */
  ageMs(): number | undefined {
    return undefined;
  }

  /** @throws GrantsUnavailable (503), with the reason */
  requireReady(): void {
    const { ready, unavailableBecause } = this.status();
    if (!ready) throw new GrantsUnavailable(unavailableBecause);
  }
}
