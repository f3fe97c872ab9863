import { randomBytes, type KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { StoreUnavailable } from '../../errors/store-errors';
import {
  FORMAT_VERSION,
  lengthPrefixed,
  NotAuthentic,
  parseLengthPrefixed,
  type RecordKeys,
  seal,
  unseal,
  type VaultDatabase,
  type WorkspaceOfUser,
} from './records';
import type { WriteOperation } from './vault/commit-queue';
import { intoKey } from './vault/vault-meta';

const KEY_BYTES = 32;
const MAX_CACHED_KEYS = 1000;

/** A workspace's data key, and its user and workspace name: the record key is a hash that cannot be reversed. */
interface WorkspaceRecord {
  readonly key: KeyObject;
  readonly names: WorkspaceOfUser;
}

interface UnwrappedKey {
  readonly key: KeyObject;
  readonly workspaceKey: Buffer;
}

/** Finds and makes the data keys of workspaces. They are stored wrapped; the most recently used ones are cached in memory. */
export class DataKeys {
  private readonly unwrapped = new LRUCache<string, UnwrappedKey>({ max: MAX_CACHED_KEYS });
  /** Counts removed keys: a read that began before a removal must not put the key back into the cache. */
  private removals = 0;

  constructor(
    private readonly database: VaultDatabase,
    private readonly wrappingKey: KeyObject,
    private readonly recordKeys: RecordKeys,
  ) {}

  /** Returns undefined for a workspace that was never written. @throws NotAuthentic */
  async find({ user, workspace }: WorkspaceOfUser): Promise<KeyObject | undefined> {
    // The length separates the names, so that no two workspaces have the same one.
    const cacheKey = `${user.length}:${user}${workspace}`;
    const cached = this.unwrapped.get(cacheKey);
    if (cached !== undefined) return cached.key;
    const { removals } = this;
    const workspaceKey = this.recordKeys.ofWorkspace({ user, workspace });
    const sealed = await this.database.get(workspaceKey);
    if (sealed === undefined) return undefined;
    const { key } = this.open(workspaceKey, sealed);
    if (removals === this.removals) this.unwrapped.set(cacheKey, { key, workspaceKey });
    return key;
  }

  /** Returns the key of a workspace that has secrets. @throws StoreUnavailable where it has none: that is damage */
  async ofStored(workspace: WorkspaceOfUser): Promise<KeyObject> {
    const key = await this.find(workspace);
    if (key === undefined) throw new StoreUnavailable();
    return key;
  }

  /** @throws NotAuthentic */
  open(workspaceKey: Buffer, sealed: Buffer): WorkspaceRecord {
    return openWorkspaceRecord(this.wrappingKey, workspaceKey, sealed);
  }

  /** Returns the key and, for a new workspace, the operation that stores it. @throws NotAuthentic */
  async findOrMake(
    workspaceKey: Buffer,
    names: WorkspaceOfUser,
  ): Promise<{ readonly key: KeyObject; readonly operations: readonly WriteOperation[] }> {
    const found = await this.find(names);
    if (found !== undefined) return { key: found, operations: [] };
    const { key, sealed } = this.make(workspaceKey, names);
    return { key, operations: [{ type: 'put', key: workspaceKey, value: sealed }] };
  }

  /**
   * Makes a random data key and its record: key (32 bytes) | length of user | user | length of workspace | workspace, sealed.
   * The key is not cached: it counts only once its record is stored.
   */
  make(
    workspaceKey: Buffer,
    { user, workspace }: WorkspaceOfUser,
  ): { readonly key: KeyObject; readonly sealed: Buffer } {
    const bytes = randomBytes(KEY_BYTES);
    const plaintext = Buffer.concat([bytes, lengthPrefixed(user, workspace)]);
    try {
      const sealed = seal(this.wrappingKey, plaintext, workspaceContext(workspaceKey));
      return { key: intoKey(bytes), sealed };
    } finally {
      plaintext.fill(0);
    }
  }

  /** Removes the key from the cache once its record is deleted: secrets sealed under a key that is stored nowhere are lost. */
  forget(workspaceKey: Buffer): void {
    this.removals += 1;
    for (const [name, cached] of [...this.unwrapped])
      if (cached.workspaceKey.equals(workspaceKey)) this.unwrapped.delete(name);
  }
}

/** @throws NotAuthentic when it is damaged, of another record key or of another format version */
export function openWorkspaceRecord(
  wrappingKey: KeyObject,
  workspaceKey: Uint8Array,
  sealed: Uint8Array,
): WorkspaceRecord {
  const plaintext = unseal(wrappingKey, sealed, workspaceContext(workspaceKey));
  try {
    const [user, workspace] = parseLengthPrefixed(plaintext.subarray(KEY_BYTES));
    if (user === undefined || workspace === undefined) throw new NotAuthentic();
    return { key: intoKey(plaintext.subarray(0, KEY_BYTES)), names: { user, workspace } };
  } finally {
    plaintext.fill(0);
  }
}

/** Returns associated data that binds a record to its record key, which is the keyed hash of user and workspace. */
export function workspaceContext(workspaceKey: Uint8Array): Buffer {
  return lengthPrefixed('workspace', `v${FORMAT_VERSION}`, workspaceKey);
}
