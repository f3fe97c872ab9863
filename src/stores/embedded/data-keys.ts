import { randomBytes, type KeyObject } from 'node:crypto';
import { lengthPrefixed, NotAuthentic, seal, unseal } from './seal';
import type { WorkspaceOfUser } from './records';
import { FORMAT_VERSION, intoKey } from './vault/vault-meta';
import { LRUCache } from 'lru-cache';
import type { WriteOperation } from './vault/commit-queue';
import type { VaultDatabase } from './records';

const KEY_BYTES = 32;

/** A workspace's data key, and whose workspace it is: its record key is a hash that nobody can turn back. */
interface WorkspaceRecord {
  readonly key: KeyObject;
  readonly names: WorkspaceOfUser;
}

interface SealedWorkspaceRecord {
  readonly key: KeyObject;
  readonly sealed: Buffer;
}

/** Makes a random data key. Sealed: key (32 bytes) | length of user | user | length of workspace | workspace. */
function makeWorkspaceRecord(
  wrappingKey: KeyObject,
  workspaceKey: Uint8Array,
  { user, workspace }: WorkspaceOfUser,
): SealedWorkspaceRecord {
  const bytes = randomBytes(KEY_BYTES);
  const plaintext = Buffer.concat([bytes, lengthPrefixed(user, workspace)]);
  try {
    return { sealed: seal(wrappingKey, plaintext, workspaceContext(workspaceKey)), key: intoKey(bytes) };
  } finally {
    plaintext.fill(0);
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
    const [user, workspace] = textsIn(plaintext.subarray(KEY_BYTES));
    if (user === undefined || workspace === undefined) throw new NotAuthentic();
    return { key: intoKey(plaintext.subarray(0, KEY_BYTES)), names: { user, workspace } };
  } finally {
    plaintext.fill(0);
  }
}

/** Binds the record to its place: the record key is the keyed hash of user and workspace. */
export function workspaceContext(workspaceKey: Uint8Array): Buffer {
  return lengthPrefixed('workspace', `v${FORMAT_VERSION}`, workspaceKey);
}

function textsIn(bytes: Buffer): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}

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
