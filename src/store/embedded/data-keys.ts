import type { KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { WriteOperation } from './commit-queue';
import type { WorkspaceOfUser } from './record-keys';
import type { VaultDatabase } from './vault-database';
import {
  makeWorkspaceRecord,
  openWorkspaceRecord,
  type SealedWorkspaceRecord,
  type WorkspaceRecord,
} from './workspace-record';

const CACHED_KEYS = 1000;

/** The data keys of the workspaces: at rest wrapped, in memory only the ones used last. */
export class DataKeys {
  private readonly unwrapped = new LRUCache<string, KeyObject>({ max: CACHED_KEYS });
  /** How many keys were removed: a look that began before must not bring one back. */
  private removals = 0;

  constructor(
    private readonly database: VaultDatabase,
    private readonly wrappingKey: KeyObject,
  ) {}

  /** undefined for a workspace that was never written. @throws NotAuthentic */
  async find(workspaceKey: Buffer): Promise<KeyObject | undefined> {
    const cached = this.unwrapped.get(cacheKey(workspaceKey));
    if (cached !== undefined) return cached;
    const { removals } = this;
    const sealed = await this.database.get(workspaceKey);
    if (sealed === undefined) return undefined;
    const { key } = this.open(workspaceKey, sealed);
    if (removals === this.removals) this.unwrapped.set(cacheKey(workspaceKey), key);
    return key;
  }

  /** @throws NotAuthentic */
  open(workspaceKey: Buffer, sealed: Buffer): WorkspaceRecord {
    return openWorkspaceRecord(this.wrappingKey, workspaceKey, sealed);
  }

  /** The key, and where the workspace is new the write that keeps it. @throws NotAuthentic */
  async findOrMake(
    workspaceKey: Buffer,
    names: WorkspaceOfUser,
  ): Promise<{ readonly key: KeyObject; readonly operations: readonly WriteOperation[] }> {
    const known = await this.find(workspaceKey);
    if (known !== undefined) return { key: known, operations: [] };
    const { key, sealed } = this.make(workspaceKey, names);
    return { key, operations: [{ type: 'put', key: workspaceKey, value: sealed }] };
  }

  /** Not cached: it counts only once its record is stored. */
  make(workspaceKey: Buffer, names: WorkspaceOfUser): SealedWorkspaceRecord {
    return makeWorkspaceRecord(this.wrappingKey, workspaceKey, names);
  }

  /** Once its record is gone: what is written under a key that is stored nowhere could not be read again. */
  forget(workspaceKey: Buffer): void {
    this.removals += 1;
    this.unwrapped.delete(cacheKey(workspaceKey));
  }
}

function cacheKey(workspaceKey: Buffer): string {
  return workspaceKey.toString('latin1');
}
