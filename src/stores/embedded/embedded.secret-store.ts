import { DomainError } from '../../errors/domain-error';
import { StoreUnavailable } from '../../errors/store-errors';
import type { Precondition, Secret, SecretScope, ScopeUsage, Usage, CallContext } from '../../secrets/secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  SecretStore,
  type UsageSource,
  type UserWorkspaces,
} from '../../secrets/secret-store';
import { type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import type { DeletionJobStorage } from '../../user-deprovisioning/deletion-jobs';
import {
  DEFAULT_MAX_RESERVE_BYTES,
  type DiskFigures,
  DiskSpace,
  freeBytesAt,
  ReserveFile,
} from './disk-space';
import { EmbeddedDeletionJobStorage, type WhileOpen } from './embedded.deletion-job-storage';
import {
  ALL_RECORDS,
  META_RECORD_KEY,
  RecordKeys,
  secretBytesOf,
  usageIn,
  type VaultDatabase,
} from './records';
import { StoredSecrets } from './stored-secrets';
import type { WriteOperation } from './vault/commit-queue';
import { openVault, type Vault, type VaultOptions } from './vault/vault';
import { unusable, vaultFolderIn } from './vault/vault-database';
import { VaultWriter, DatabaseRecovery } from './vault/vault-writer';
import { workspaceKeyOf, WorkspaceLocks, WorkspaceRecords } from './workspace-records';

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
  private readonly workspaces: WorkspaceRecords;
  private readonly secrets: StoredSecrets;
  private readonly recovery: DatabaseRecovery;
  private readonly writer: VaultWriter;
  private readonly workspaceLocks: WorkspaceLocks;
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
    this.workspaces = new WorkspaceRecords(database, keys.wrappingKey, this.recordKeys);
    this.secrets = new StoredSecrets(database, this.recordKeys, this.workspaces, time);
    this.recovery = new DatabaseRecovery(database, disk, time);
    this.writer = new VaultWriter(database, disk, this.recovery, time);
    this.workspaceLocks = new WorkspaceLocks(this.workspaces, () => this.writer.repair());
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
    await this.write(scope, context, (workspaceKey) => this.secrets.planCreate(workspaceKey, scope, secret));
  }

  async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return this.whileOpen(async () => ({ secret: await this.secrets.retrieve(scope, name, context) }));
  }

  async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await this.write(scope, context, () => this.secrets.planUpdate(scope, secret, precondition));
  }

  async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await this.write(scope, context, () => this.secrets.planDelete(scope, name, precondition));
  }

  async list(scope: SecretScope, { signal }: CallContext): Promise<ListedSecrets> {
    return this.whileOpen(async () => ({ secrets: await this.secrets.list(scope, signal) }));
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

  async workspacesOf(user: string): Promise<readonly string[]> {
    return this.whileOpen(() => this.workspaces.of(user));
  }

  /** Holds the workspace's lock, so that nothing is written to it until all of it is gone. */
  async removeWorkspace(id: string): Promise<void> {
    await this.whileOpen(async () => {
      const workspaceKey = workspaceKeyOf(id);
      await this.workspaceLocks.run(workspaceKey, async () => {
        for await (const deletes of this.workspaces.removal(id)) await this.writer.write(deletes, true);
        this.workspaces.forgetKey(workspaceKey);
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
      await this.workspaceLocks.run(workspaceKey, planAndWrite, { signal });
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

/** Measures the disk of an open database for the first time, and makes the reserve of a new one. */
async function openDiskSpace(
  folder: string,
  database: VaultDatabase,
  maxReserveBytes: number,
  time: MonotonicTime,
): Promise<DiskSpace> {
  let stored = 0;
  const storedBytes = async (): Promise<number> => {
    // While the database is being reopened, the last known size is returned.
    if (database.status === 'open')
      stored = await database.approximateSize(ALL_RECORDS.gte, ALL_RECORDS.lt).catch(() => stored);
    return stored;
  };
  const sources = { freeBytes: () => freeBytesAt(folder), storedBytes, reserve: new ReserveFile(folder) };
  const disk = new DiskSpace(sources, maxReserveBytes, time);
  await disk.measure();
  return disk;
}
