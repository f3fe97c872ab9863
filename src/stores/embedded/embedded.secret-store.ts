import { KeyedMutex } from '../../concurrency/keyed-mutex';
import { DomainError } from '../../errors/domain-error';
import { SecretNotFound, StoreUnavailable } from '../../errors/store-errors';
import type { Precondition, Secret, SecretScope, ScopeUsage, Usage } from '../../secrets/secret';
import type { CallContext } from '../../secrets/call-context';
import {
  type ListedSecrets,
  type RetrievedSecret,
  SecretStore,
  type StoredWorkspace,
  type UsageSource,
  type UserWorkspaces,
} from '../../secrets/secret-store';
import { type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import type { DeletionJobStorage } from '../../user-deprovisioning/deletion-jobs';
import { DataKeys } from './data-keys';
import { DEFAULT_MAX_RESERVE_BYTES, type DiskFigures, type DiskSpace, openDiskSpace } from './disk-space';
import { EmbeddedDeletionJobStorage, type WhileOpen } from './embedded.deletion-job-storage';
import {
  META_RECORD_KEY,
  RecordKeys,
  secretBytesOf,
  unsealSecret,
  usageIn,
  type VaultDatabase,
} from './records';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { ScopeLists } from './scope-lists';
import { StoredWorkspaces, workspaceKeyOf } from './stored-workspaces';
import type { WriteOperation } from './vault/commit-queue';
import { openVault, type Vault, type VaultOptions } from './vault/vault';
import { unusable } from './vault/vault-database';
import { vaultFolderIn } from './vault/vault-folder';
import { VaultWriter, DatabaseRecovery } from './vault/vault-writer';
import { WritePlans } from './write-plans';

export interface EmbeddedStoreOptions extends VaultOptions {
  /** How much disk space is reserved for deletes and the next start, at most; 0 reserves none. */
  readonly maxDiskReserveBytes?: number;
}

const NEARLY_FULL =
  'The disk of the embedded store is nearly full: creates and updates are refused, deletes are not.';

/** Stores secrets in an encrypted database in a folder of its own. One process at a time can open it. */
export class EmbeddedSecretStore extends SecretStore implements UsageSource, UserWorkspaces {
  readonly deletionJobs: DeletionJobStorage;
  private readonly database: VaultDatabase;
  private readonly recordKeys: RecordKeys;
  private readonly dataKeys: DataKeys;
  private readonly plans: WritePlans;
  private readonly workspaces: StoredWorkspaces;
  private readonly lists: ScopeLists;
  private readonly recovery: DatabaseRecovery;
  private readonly writer: VaultWriter;
  private readonly workspaceLocks = new KeyedMutex();
  private callsUnderWay = 0;
  private lastCallEnded: (() => void) | undefined;
  private closed: Promise<void> | undefined;

  private constructor(
    { database, keys }: Vault,
    private readonly disk: DiskSpace,
    time: MonotonicTime,
  ) {
    super();
    this.database = database;
    this.recordKeys = new RecordKeys(keys.indexKey);
    this.dataKeys = new DataKeys(database, keys.wrappingKey, this.recordKeys);
    this.plans = new WritePlans(database, this.recordKeys, this.dataKeys);
    this.lists = new ScopeLists(database, this.recordKeys, time);
    this.workspaces = new StoredWorkspaces(database, this.recordKeys, this.dataKeys);
    this.recovery = new DatabaseRecovery(database, disk, time);
    this.writer = new VaultWriter(database, disk, this.recovery, time);
    const whileOpen: WhileOpen = (work) => this.whileOpen(work);
    this.deletionJobs = new EmbeddedDeletionJobStorage(database, keys.indexKey, this.writer, whileOpen);
  }

  /** Opens the store, or creates it where there is none. The master key is not kept. @throws EmbeddedStoreUnusable */
  static async open(options: EmbeddedStoreOptions): Promise<EmbeddedSecretStore> {
    const vault = await openVault(options);
    const { dataDir, maxDiskReserveBytes = DEFAULT_MAX_RESERVE_BYTES } = options;
    const [folder, time] = [vaultFolderIn(dataDir), new SystemMonotonicTime()];
    try {
      const disk = await openDiskSpace(folder, vault.database, maxDiskReserveBytes, time);
      return new EmbeddedSecretStore(vault, disk, time);
    } catch (error: unknown) {
      await vault.database.close();
      throw unusable(folder, error);
    }
  }

  /** Returns one sentence for each problem that an operator should fix although the store works. */
  problems(): readonly string[] {
    return this.disk.isLow ? [NEARLY_FULL] : [];
  }

  diskFigures(): Promise<DiskFigures> {
    return this.disk.figures();
  }

  async create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    await this.write(scope, context, (workspaceKey) => this.plans.create(workspaceKey, scope, secret));
  }

  async retrieve(scope: SecretScope, name: string, { signal }: CallContext): Promise<RetrievedSecret> {
    return this.whileOpen(async () => {
      const recordKey = this.recordKeys.ofSecret(scope, name);
      const recordOf = async (): Promise<Buffer> => {
        const record = await this.database.get(recordKey);
        if (record === undefined) throw new SecretNotFound(name);
        return record;
      };
      let record: Buffer | undefined = await recordOf();
      if (record.length >= LARGE_STEP_BYTES) {
        // Read again afterwards: however many wait for their turn, also of clients that have gone, none holds its record.
        record = undefined;
        await quietTurn('open', scope.user);
        signal.throwIfAborted();
      }
      const dataKey = await this.dataKeys.ofStored(scope);
      return { secret: unsealSecret(dataKey, { scope, recordKey }, record ?? (await recordOf())) };
    });
  }

  async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await this.write(scope, context, () => this.plans.update(scope, secret, precondition));
  }

  async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await this.write(scope, context, () => this.plans.delete(scope, name, precondition));
  }

  async list(scope: SecretScope, { signal }: CallContext): Promise<ListedSecrets> {
    return this.whileOpen(async () => ({
      secrets: await this.lists.list(scope, () => this.dataKeys.ofStored(scope), signal),
    }));
  }

  async measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.whileOpen(() => usageIn(this.database, this.recordKeys.ofScope(scope)));
  }

  async sizeOf(scope: SecretScope, name: string): Promise<number | undefined> {
    return this.whileOpen(async () => {
      const record = await this.database.get(this.recordKeys.ofSecret(scope, name));
      return record && secretBytesOf(record);
    });
  }

  async measureUser(user: string): Promise<Usage> {
    return this.whileOpen(() => this.workspaces.usageOf(user));
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.whileOpen(() => this.workspaces.of(user));
  }

  /** Holds the workspace's lock, so that nothing is written to it until all of it is gone. */
  async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    await this.whileOpen(async () => {
      const workspaceKey = workspaceKeyOf(workspace);
      await this.workspaceLocks.run(workspaceKey.toString('latin1'), async () => {
        for await (const deletes of this.workspaces.removal(workspace))
          await this.writer.write(deletes, true);
        this.dataKeys.forget(workspaceKey);
      });
    });
  }

  requireName(): void {}

  /** Reads a record. @throws StoreUnavailable also while a failed write keeps the database from taking others */
  async ping(): Promise<void> {
    await this.whileOpen(async () => {
      const meta = await this.database.get(META_RECORD_KEY, { fillCache: false });
      if (meta === undefined || !(await this.writer.repair())) throw new StoreUnavailable();
      // Measures the disk, so that problems() is up to date.
      await this.disk.figures();
    });
  }

  async close(): Promise<void> {
    this.closed ??= this.closeDatabase();
    await this.closed;
  }

  /** @param plan checks the secret and returns what to write; the workspace's lock is held until that is written */
  private async write(
    scope: SecretScope,
    { signal }: CallContext,
    plan: (workspaceKey: Buffer) => Promise<readonly WriteOperation[]>,
  ): Promise<void> {
    await this.whileOpen(async () => {
      const workspaceKey = this.recordKeys.ofWorkspace(scope);
      const planAndWrite = async (): Promise<void> => this.writer.write(await plan(workspaceKey), false);
      await this.workspaceLocks.run(workspaceKey.toString('latin1'), planAndWrite, { signal });
    });
  }

  private async closeDatabase(): Promise<void> {
    if (this.callsUnderWay > 0) await new Promise<void>((ended) => (this.lastCallEnded = ended));
    try {
      await this.writer.close();
      await this.database.close();
    } catch {
      throw new StoreUnavailable();
    }
  }

  /** Runs a call, whose end close() awaits. @throws DomainError, in place of every error of the database or the cipher */
  private async whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed !== undefined) throw new StoreUnavailable();
    const { generation } = this.recovery;
    this.callsUnderWay += 1;
    try {
      try {
        return await work();
      } catch (error: unknown) {
        // What failed since the database was reopened meanwhile is repeated: an error of the database comes before any write.
        if (error instanceof DomainError || !(await this.recovery.isReopenedSince(generation))) throw error;
        return await work();
      }
    } catch (error: unknown) {
      throw error instanceof DomainError ? error : new StoreUnavailable();
    } finally {
      this.callsUnderWay -= 1;
      if (this.callsUnderWay === 0) this.lastCallEnded?.();
    }
  }
}
