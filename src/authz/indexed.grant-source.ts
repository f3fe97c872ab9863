import { isDeepStrictEqual } from 'node:util';
import type { InstalledApp } from './grant';
import { type AppListener, type GrantIndex, nameOf } from './grant-index';
import { GrantSource } from './grant-source';
import type { SharedWorkspace } from './workspace-holders';

/** A source that answers from an index. */
export abstract class IndexedGrantSource extends GrantSource {
  protected abstract readonly index: GrantIndex;
  private readonly listeners = new Set<AppListener>();

  find(user: string, app: string): InstalledApp | undefined {
    return this.index.find(user, app);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.index.findByKey(appKey);
  }

  installedApps(): Iterable<InstalledApp> {
    return this.index.served();
  }

  onChange(listener: AppListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  holdersOf(user: string, workspace: string): readonly string[] {
    return this.index.holdersOf(user, workspace);
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.index.sharedWorkspaces();
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
