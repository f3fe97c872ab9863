import { isDeepStrictEqual } from 'node:util';
import { GrantsUnavailable } from '../errors/request-errors';
import type { InstalledApp, SharedWorkspace } from './grant';
import { type AppListener, type GrantIndex, type GrantProblem, nameOf } from './grant-index';

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
  /** How many grants apps state outside of their own workspaces that nobody has approved; they grant nothing. */
  readonly pendingGrants?: number;
}

/**
 * Knows the installed apps and their grants. Every implementation passes describeGrantSource().
 * Look-ups are synchronous and take constant time. Each change happens in one synchronous step, so they see it whole.
 * What resources of different kinds state of one app is united. Two resources of one kind with the same (user, app), or two
 * apps with the same app key: none of them is served, and a problem says so.
 */
export abstract class GrantSource {
  protected abstract readonly index: GrantIndex;
  protected current: GrantSourceStatus = { ready: false, installedApps: 0, problems: [] };
  private readonly listeners = new Set<AppListener>();

  abstract close(): Promise<void>;

  status(): GrantSourceStatus {
    return this.current;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.index.find(user, app);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.index.findByKey(appKey);
  }

  /** Returns all apps that are served. */
  installedApps(): Iterable<InstalledApp> {
    return this.index.served();
  }

  /**
   * Calls the listener for each app that is served otherwise than before, or no longer, in the same synchronous step as
   * the change. Returns what ends that.
   */
  onChange(listener: AppListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Returns the apps that state any grant on a user's workspace, served or not, in the order of their installation. */
  holdersOf(user: string, workspace: string): readonly string[] {
    return this.index.holdersOf(user, workspace);
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.index.sharedWorkspaces();
  }

  /** Returns what is wrong with the sources of an app, as far as they can be told to be its own. */
  problemsOf(user: string, app: string): readonly GrantProblem[] {
    return this.index.problemsOf({ user, app });
  }

  /** Returns how long ago the source was last known to be complete; undefined for one that reads the files themselves. */
  ageMs(): number | undefined {
    return undefined;
  }

  /** Returns what a decision is made by. @throws GrantsUnavailable (503), with the reason */
  requireIndex(): GrantIndex {
    const { ready, unavailableBecause } = this.status();
    if (!ready) throw new GrantsUnavailable(unavailableBecause);
    return this.index;
  }

  /** To be called when an app is served otherwise than before. */
  protected changed(user: string, app: string): void {
    for (const listener of this.listeners) listener(user, app);
  }

  /** To be called after the whole index was replaced. */
  protected replaced(before: GrantIndex): void {
    const apps = new Map([...before.served(), ...this.index.served()].map((one) => [nameOf(one), one]));
    for (const { user, app } of apps.values()) {
      if (!isDeepStrictEqual(before.find(user, app), this.index.find(user, app))) this.changed(user, app);
    }
  }
}
