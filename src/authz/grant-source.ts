import { GrantsUnavailable } from '../errors/authz-errors';
import type { InstalledApp } from './grant';
import type { SharedWorkspace } from './workspace-holders';

/** A problem that an operator should fix; it may name files and apps, never a key or a secret. */
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
  /** True after the first complete load, and while that is recent enough; no decision is made otherwise. */
  readonly ready: boolean;
  /** Why the source is not ready, as a clause that a caller may read; may be absent before the first load. */
  readonly unavailableBecause?: string;
  readonly installedApps: number;
  readonly problems: readonly GrantProblem[];
  /** The kinds of resources that grants are read from, such as `ApplicationPermissions`, where there may be several. */
  readonly feeds?: readonly string[];
  /** Which Olares was found, where the source finds that out. */
  readonly olares?: string;
}

/**
 * Knows the installed apps and their grants. Every implementation passes describeGrantSource().
 * Look-ups are synchronous and take constant time. Each change happens in one synchronous step, so they see it whole.
 * What resources of different kinds state of one app is united. Two resources of one kind with the same (user, app), or two
 * apps with the same app key: none of them is served, and a problem says so.
 */
export abstract class GrantSource {
  abstract find(user: string, app: string): InstalledApp | undefined;
  abstract findByKey(appKey: string): InstalledApp | undefined;
  /** Returns all apps that are served. */
  abstract installedApps(): Iterable<InstalledApp>;
  /**
   * Calls the listener for each app that is served otherwise than before, or no longer, in the same synchronous step as
   * the change. Returns what ends that.
   */
  abstract onChange(listener: (user: string, app: string) => void): () => void;
  /** Returns the apps that state any grant on a user's workspace, served or not, in the order of their installation. */
  abstract holdersOf(user: string, workspace: string): readonly string[];
  abstract sharedWorkspaces(): readonly SharedWorkspace[];
  abstract status(): GrantSourceStatus;
  abstract close(): Promise<void>;

  /** Returns how long ago the source was last known to be complete; undefined for one that reads the files themselves. */
  ageMs(): number | undefined {
    return undefined;
  }

  /** @throws GrantsUnavailable (503), with the reason */
  requireReady(): void {
    const { ready, unavailableBecause } = this.status();
    if (!ready) throw new GrantsUnavailable(unavailableBecause);
  }
}
