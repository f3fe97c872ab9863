import type { KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { lengthPrefixed } from './length-prefixed';
import type { VaultDatabase } from './vault-database';
import { FORMAT_VERSION } from './vault-meta';
import { makeWrappedKey, unwrapKey, type WrappedKey } from './wrapped-key';

const CACHED_KEYS = 1000;

/** The data keys of the workspaces: at rest wrapped, in memory only the ones used last. */
export class DataKeys {
  private readonly unwrapped = new LRUCache<string, KeyObject>({ max: CACHED_KEYS });

  constructor(
    private readonly database: VaultDatabase,
    private readonly wrappingKey: KeyObject,
  ) {}

  /** undefined for a workspace that was never written. @throws NotAuthentic */
  async find(workspaceKey: Buffer): Promise<KeyObject | undefined> {
    const cached = this.unwrapped.get(cacheKey(workspaceKey));
    if (cached !== undefined) return cached;
    const wrapped = await this.database.get(workspaceKey);
    if (wrapped === undefined) return undefined;
    const key = unwrapKey(this.wrappingKey, wrapped, dataKeyContext(workspaceKey));
    this.unwrapped.set(cacheKey(workspaceKey), key);
    return key;
  }

  /** Not cached: it counts only once its record is stored. */
  make(workspaceKey: Buffer): WrappedKey {
    return makeWrappedKey(this.wrappingKey, dataKeyContext(workspaceKey));
  }
}

/** Binds a wrapped data key to its workspace: the record key is the keyed hash of user and workspace. */
export function dataKeyContext(workspaceKey: Uint8Array): Buffer {
  return lengthPrefixed('data key', `v${FORMAT_VERSION}`, workspaceKey);
}

function cacheKey(workspaceKey: Buffer): string {
  return workspaceKey.toString('latin1');
}
