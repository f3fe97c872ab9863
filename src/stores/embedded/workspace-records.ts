import { randomBytes, type KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { KeyedMutex } from '../../concurrency/keyed-work';
import { StoreOutcomeUnknown, StoreUnavailable } from '../../errors/store-errors';
import { ENVIRONMENTS, type Usage } from '../../secrets/secret';
import type { Wait } from '../../time/clock';
import {
  FORMAT_VERSION,
  keyBatches,
  lengthPrefixed,
  NotAuthentic,
  parseLengthPrefixed,
  recordBatches,
  type RecordKeys,
  type RecordRange,
  seal,
  unseal,
  usageIn,
  type VaultDatabase,
  WORKSPACE_RECORDS,
  type WorkspaceOfUser,
} from './records';
import type { WriteOperation } from './vault/commit-queue';
import { intoKey } from './vault/vault-meta';

const KEY_BYTES = 32;
const MAX_CACHED_KEYS = 1000;

/** In one batch of a removal; a workspace with fewer secrets is removed in a single batch. */
const MAX_DELETES = 1_000;

/** Each record begins with its own nonce, which tells a workspace from one that was created again under the same names. */
const NONCE_BYTES = 12;

/** A workspace's data key, and its user and workspace name: the record key is a hash that cannot be reversed. */
interface WorkspaceRecord {
  readonly key: KeyObject;
  readonly names: WorkspaceOfUser;
}

/**
 * Finds and makes the data keys of workspaces, and finds the workspaces of a user. Data keys are stored wrapped; the most recently used
 * ones are cached in memory. A user's workspaces are found by opening every record: record keys are hashes.
 */
export class WorkspaceRecords {
  private readonly unwrapped = new LRUCache<
    string,
    { readonly key: KeyObject; readonly workspaceKey: Buffer }
  >({ max: MAX_CACHED_KEYS });
  /** Counts removed keys: a read that began before a removal must not put the key back into the cache. */
  private removals = 0;

  constructor(
    private readonly database: VaultDatabase,
    private readonly wrappingKey: KeyObject,
    private readonly recordKeys: RecordKeys,
  ) {}

  /** Returns the data key; undefined for a workspace that was never written. @throws NotAuthentic */
  async findKey({ user, workspace }: WorkspaceOfUser): Promise<KeyObject | undefined> {
    // The length separates the names, so that no two workspaces have the same one.
    const cacheKey = `${user.length}:${user}${workspace}`;
    const cached = this.unwrapped.get(cacheKey);
    if (cached !== undefined) return cached.key;
    const { removals } = this;
    const workspaceKey = this.recordKeys.ofWorkspace({ user, workspace });
    const sealed = await this.database.get(workspaceKey);
    if (sealed === undefined) return undefined;
    const { key } = openWorkspaceRecord(this.wrappingKey, workspaceKey, sealed);
    if (removals === this.removals) this.unwrapped.set(cacheKey, { key, workspaceKey });
    return key;
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

  /** Removes the data key from the cache once its record is deleted, or may be: secrets sealed under a key that is stored nowhere are lost. */
  forgetKey(workspaceKey: Buffer): void {
    this.removals += 1;
    for (const [name, cached] of [...this.unwrapped])
      if (cached.workspaceKey.equals(workspaceKey)) this.unwrapped.delete(name);
  }

  /** Returns the ids of a user's workspaces. One whose record does not open is left out: nobody can read it, nor tell whose it was. */
  async of(user: string): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const [workspaceKey, sealed] of this.recordsOf(user)) found.push(idOf(workspaceKey, sealed));
    return found;
  }

  /** Returns the usage of the secrets in all workspaces of a user. */
  async usageOf(user: string): Promise<Usage> {
    let [secrets, bytes] = [0, 0];
    for await (const [, , names] of this.recordsOf(user)) {
      for (const range of this.rangesOf(names)) {
        const usage = await usageIn(this.database, range);
        secrets += usage.secrets;
        bytes += usage.bytes;
      }
    }
    return { secrets, bytes };
  }

  /**
   * Yields the batches that delete a workspace's secrets and then its record, to be written one after the other; none when it is gone,
   * or was created again. Whenever the removal is interrupted, no secret is left without its data key.
   */
  async *removal(id: string): AsyncGenerator<readonly WriteOperation[]> {
    const key = workspaceKeyOf(id);
    const sealed = await this.database.get(key);
    if (sealed === undefined || idOf(key, sealed) !== id) return;
    const { names } = openWorkspaceRecord(this.wrappingKey, key, sealed);
    let last: readonly Buffer[] = [];
    for (const range of this.rangesOf(names)) {
      for await (const keys of keyBatches(this.database, range)) {
        if (last.length > 0 && last.length + keys.length > MAX_DELETES) {
          yield deletesOf(last);
          last = [];
        }
        last = [...last, ...keys];
      }
    }
    yield deletesOf([...last, key]);
  }

  private rangesOf(names: WorkspaceOfUser): readonly RecordRange[] {
    return ENVIRONMENTS.map((environment) => this.recordKeys.ofScope({ ...names, environment }));
  }

  private async *recordsOf(user: string): AsyncGenerator<[Buffer, Buffer, WorkspaceOfUser]> {
    for await (const batch of recordBatches(this.database, WORKSPACE_RECORDS)) {
      for (const [workspaceKey, sealed] of batch) {
        const names = this.namesIn(workspaceKey, sealed);
        if (names?.user === user) yield [workspaceKey, sealed, names];
      }
    }
  }

  private namesIn(workspaceKey: Buffer, sealed: Buffer): WorkspaceOfUser | undefined {
    try {
      return openWorkspaceRecord(this.wrappingKey, workspaceKey, sealed).names;
    } catch (error: unknown) {
      if (error instanceof NotAuthentic) return undefined;
      throw error;
    }
  }
}

/**
 * Lets one write at a time plan and change a workspace. One after a write whose outcome nobody knows begins once the database shows it:
 * what was planned on an older state could be sealed under a data key that is deleted, or replace one that is needed.
 */
export class WorkspaceLocks {
  private readonly locks = new KeyedMutex();
  /** Keys of workspaces whose last write may have happened. */
  private readonly uncertain = new Set<string>();

  constructor(
    private readonly workspaces: WorkspaceRecords,
    /** Reopens the database after a failed write. Returns whether it shows how that ended. */
    private readonly repair: () => Promise<boolean>,
  ) {}

  /** @throws StoreUnavailable where the outcome of the last write is still unknown; what `wait` says */
  async run(workspaceKey: Buffer, write: () => Promise<void>, wait?: Wait): Promise<void> {
    const key = workspaceKey.toString('latin1');
    const settleAndWrite = async (): Promise<void> => {
      if (this.uncertain.has(key)) {
        if (!(await this.repair())) throw new StoreUnavailable();
        // Reads of the older state may have cached it.
        this.workspaces.forgetKey(workspaceKey);
        this.uncertain.delete(key);
      }
      try {
        await write();
      } catch (error: unknown) {
        if (error instanceof StoreOutcomeUnknown) this.uncertain.add(key);
        throw error;
      }
    };
    await this.locks.run(key, settleAndWrite, wait);
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

export function workspaceKeyOf(id: string): Buffer {
  return Buffer.from(id.split('.')[0] ?? '', 'hex');
}

function idOf(workspaceKey: Buffer, sealed: Buffer): string {
  return `${workspaceKey.toString('hex')}.${sealed.toString('hex', 0, NONCE_BYTES)}`;
}

function deletesOf(keys: readonly Buffer[]): readonly WriteOperation[] {
  return keys.map((key) => ({ type: 'del', key }));
}
