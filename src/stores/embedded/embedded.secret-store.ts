import type { KeyObject } from 'node:crypto';
import { SystemMonotonicTime } from '../../time/clock';
import { DomainError } from '../../errors/domain-error';
import { SecretAlreadyExists, SecretNotFound, StoreUnavailable } from '../../errors/store-errors';
import type { Secret, SecretScope, ScopeUsage, Usage } from '../../secrets/secret';
import { SecretStore, type StoredWorkspace } from '../../secrets/secret-store';
import type { WriteOperation } from './vault/commit-queue';
import { DataKeys } from './data-keys';
import { DatabaseRecovery } from './vault/database-recovery';
import { type DiskFigures, DEFAULT_MAX_RESERVE_BYTES, openDiskSpace, type DiskSpace } from './disk-space';
import { KeyedMutex } from '../../concurrency/keyed-mutex';
import { META_RECORD_KEY, RecordKeys, usageIn, sealSecret, secretBytesOf, unsealSecret } from './records';
import { ScopeLists } from './scope-lists';
import { StoredWorkspaces, workspaceKeyOf } from './stored-workspaces';
import { openVault, type Vault, type VaultOptions } from './vault/vault';
import { unusable } from './vault/vault-database';
import type { VaultDatabase } from './records';
import { vaultFolderIn } from './vault/vault-folder';
import { VaultWriter } from './vault/vault-writer';

export interface EmbeddedStoreOptions extends VaultOptions {
  /** What is kept of the disk for deletes and the next start, at most; 0: nothing. */
  readonly maxDiskReserveBytes?: number;
  /** Whose secrets are the service's own, which are stored as long as there is any room. */
  readonly serviceUser?: string;
}

const NEARLY_FULL =
  'The disk of the embedded store is nearly full: creates and updates are refused, deletes are not.';

/** Keeps secrets in an encrypted database in a folder of its own. One process at a time. */
export class EmbeddedSecretStore extends SecretStore {
  private readonly database: VaultDatabase;
  private readonly recordKeys: RecordKeys;
  private readonly dataKeys: DataKeys;
  private readonly workspaces: StoredWorkspaces;
  private readonly lists: ScopeLists;
  private readonly recovery: DatabaseRecovery;
  private readonly writer: VaultWriter;
  private readonly workspaceLocks = new KeyedMutex();
  private readonly underWay = new Set<Promise<unknown>>();
  private closed: Promise<void> | undefined;

  private constructor(
    { database, keys }: Vault,
    private readonly disk: DiskSpace,
    private readonly serviceUser: string | undefined,
  ) {
    super();
    const time = new SystemMonotonicTime();
    this.database = database;
    this.recordKeys = new RecordKeys(keys.indexKey);
    this.dataKeys = new DataKeys(database, keys.wrappingKey);
    this.lists = new ScopeLists(database, this.recordKeys, time);
    this.workspaces = new StoredWorkspaces(database, this.recordKeys, this.dataKeys);
    this.recovery = new DatabaseRecovery(database, disk, time);
    this.writer = new VaultWriter(database, disk, this.recovery, time);
  }

  /** Opens the store, or makes it where there is none. The master key is not kept. @throws EmbeddedStoreUnusable */
  static async open(options: EmbeddedStoreOptions): Promise<EmbeddedSecretStore> {
    const vault = await openVault(options);
    const { dataDir, maxDiskReserveBytes = DEFAULT_MAX_RESERVE_BYTES, serviceUser } = options;
    const [folder, time] = [vaultFolderIn(dataDir), new SystemMonotonicTime()];
    try {
      const disk = await openDiskSpace(folder, vault.database, maxDiskReserveBytes, time);
      return new EmbeddedSecretStore(vault, disk, serviceUser);
    } catch (error: unknown) {
      await vault.database.close();
      throw unusable(folder, error);
    }
  }

  /** What an operator should mend although the store works, one sentence each. */
  problems(): readonly string[] {
    return this.disk.isLow ? [NEARLY_FULL] : [];
  }

  diskFigures(): Promise<DiskFigures> {
    return this.disk.figures();
  }

  override async create(scope: SecretScope, secret: Secret): Promise<void> {
    await this.write(scope, async (workspaceKey) => {
      const recordKey = this.recordKeys.ofSecret(scope, secret.name);
      if (await this.database.has(recordKey)) throw new SecretAlreadyExists(secret.name);
      // One batch: no data key without a secret, no secret without its data key.
      const { key, operations } = await this.dataKeys.findOrMake(workspaceKey, scope);
      const value = sealSecret(key, { scope, recordKey }, secret);
      return [...operations, { type: 'put', key: recordKey, value }];
    });
  }

  override async retrieve(scope: SecretScope, name: string): Promise<Secret> {
    return this.whileOpen(async () => {
      const recordKey = this.recordKeys.ofSecret(scope, name);
      const record = await this.database.get(recordKey);
      if (record === undefined) throw new SecretNotFound(name);
      const dataKey = await this.dataKeyOf(scope);
      return unsealSecret(dataKey, { scope, recordKey }, record);
    });
  }

  override async update(scope: SecretScope, secret: Secret): Promise<void> {
    await this.write(scope, async () => {
      const recordKey = this.recordKeys.ofSecret(scope, secret.name);
      if (!(await this.database.has(recordKey))) throw new SecretNotFound(secret.name);
      const value = sealSecret(await this.dataKeyOf(scope), { scope, recordKey }, secret);
      return [{ type: 'put', key: recordKey, value }];
    });
  }

  override async delete(scope: SecretScope, name: string): Promise<void> {
    await this.write(scope, async () => {
      const recordKey = this.recordKeys.ofSecret(scope, name);
      if (!(await this.database.has(recordKey))) throw new SecretNotFound(name);
      return [{ type: 'del', key: recordKey }];
    });
  }

  override async list(scope: SecretScope): Promise<readonly Secret[]> {
    return this.whileOpen(() => this.lists.read(scope, () => this.dataKeyOf(scope)));
  }

  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.whileOpen(() => usageIn(this.database, this.recordKeys.ofScope(scope)));
  }

  override async sizeOf(scope: SecretScope, name: string): Promise<number | undefined> {
    return this.whileOpen(async () => {
      const record = await this.database.get(this.recordKeys.ofSecret(scope, name));
      return record && secretBytesOf(record);
    });
  }

  override async measureUser(user: string): Promise<Usage> {
    return this.whileOpen(() => this.workspaces.usageOf(user));
  }

  override async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.whileOpen(() => this.workspaces.of(user));
  }

  /** Nothing is written to the workspace until all of it is gone. */
  override async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    await this.whileOpen(async () => {
      const workspaceKey = workspaceKeyOf(workspace);
      await this.workspaceLocks.run(workspaceKey.toString('latin1'), async () => {
        for await (const deletes of this.workspaces.removal(workspace))
          await this.writer.write(deletes, true);
        this.dataKeys.forget(workspaceKey);
      });
    });
  }

  /** Reads a record, and fails once a write has failed which cannot be got over. */
  override async ping(): Promise<void> {
    await this.whileOpen(async () => {
      const meta = await this.database.get(META_RECORD_KEY, { fillCache: false });
      if (meta === undefined || !(await this.writer.repair())) throw new StoreUnavailable();
      // So that problems() knows.
      await this.disk.figures();
    });
  }

  override async close(): Promise<void> {
    this.closed ??= Promise.allSettled(this.underWay)
      .then(() => this.writer.close())
      .then(() => this.database.close());
    await safely(this.closed);
  }

  /** Secrets without a data key are damage, not an unknown workspace. */
  private async dataKeyOf(scope: SecretScope): Promise<KeyObject> {
    const dataKey = await this.dataKeys.find(this.recordKeys.ofWorkspace(scope));
    if (dataKey === undefined) throw new StoreUnavailable();
    return dataKey;
  }

  /** `plan` checks and says what to write; nothing comes between it and the write in the same workspace. */
  private async write(
    scope: SecretScope,
    plan: (workspaceKey: Buffer) => Promise<readonly WriteOperation[]>,
  ): Promise<void> {
    await this.whileOpen(async () => {
      const workspaceKey = this.recordKeys.ofWorkspace(scope);
      await this.workspaceLocks.run(workspaceKey.toString('latin1'), async () =>
        this.writer.write(await plan(workspaceKey), scope.user === this.serviceUser),
      );
    });
  }

  private async whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed !== undefined) throw new StoreUnavailable();
    const call = safely(this.againIfOpenedAnew(work));
    this.underWay.add(call);
    try {
      return await call;
    } finally {
      this.underWay.delete(call);
    }
  }

  /** Does it once more where the database was opened anew meanwhile. What the database itself says comes before anything is written. */
  private async againIfOpenedAnew<T>(work: () => Promise<T>): Promise<T> {
    const { generation } = this.recovery;
    try {
      return await work();
    } catch (error: unknown) {
      if (error instanceof DomainError || !(await this.recovery.isOpenedSince(generation))) throw error;
      return work();
    }
  }
}

/** Whatever the database or the cipher threw stays here. */
async function safely<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error: unknown) {
    throw error instanceof DomainError ? error : new StoreUnavailable();
  }
}
