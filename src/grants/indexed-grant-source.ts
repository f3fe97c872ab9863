import type { GrantIndex } from './grant-index';
import { GrantSource } from './grant-source';
import type { InstalledApp } from './installed-app';
import type { SharedWorkspace } from './workspace-holders';

/** A source that keeps what it knows in an index, and answers from there. */
export abstract class IndexedGrantSource extends GrantSource {
  protected abstract readonly index: GrantIndex;

  find(user: string, app: string): InstalledApp | undefined {
    return this.index.find(user, app);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.index.findByKey(appKey);
  }

  holdersOf(user: string, workspace: string): readonly string[] {
    return this.index.holdersOf(user, workspace);
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.index.sharedWorkspaces();
  }
}
