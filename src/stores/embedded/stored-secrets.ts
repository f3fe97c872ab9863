import type { KeyObject } from 'node:crypto';
import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { TooManyRequests } from '../../errors/request-errors';
import {
  ListTooLarge,
  SecretAlreadyExists,
  SecretNotFound,
  StoreUnavailable,
} from '../../errors/store-errors';
import type { Precondition, Secret, SecretScope, CallContext } from '../../secrets/secret';
import {
  recordBatches,
  type RecordKeys,
  sealSecret,
  secretBytesOf,
  unsealSecret,
  type VaultDatabase,
} from './records';
import type { WriteOperation } from './vault/commit-queue';
import type { WorkspaceRecords } from './workspace-records';

/** As much as an answer may carry: a list of more could not be sent. */
const MAX_LIST_BYTES = 16 * 1024 * 1024;
/** A list of so much is read at once; a larger one is read in the fair queue, and holds no memory while it waits. */
const SMALL_LIST_BYTES = 256 * 1024;

/** About the memory that the objects of one secret take beside its own bytes. */
const SECRET_OVERHEAD_BYTES = 160;

/** One large list takes up to twice its bytes. */
const LARGE_LISTS: FairQueueBounds = {
  maxRunning: 2,
  maxRunningPerKey: 1,
  maxWaiting: 500,
  maxWaitingPerKey: 125,
  maxWaitMs: 5_000,
};

/**
 * Reads secrets, in bounded memory however many are read at once and however large they are. Plans writes: what each consists of, checked
 * against what the database has; the caller holds the workspace's lock until that is written.
 */
export class StoredSecrets {
  private readonly largeLists: FairQueue;

  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    private readonly workspaces: WorkspaceRecords,
    time: MonotonicTime,
  ) {
    this.largeLists = new FairQueue(LARGE_LISTS, time, () => new TooManyRequests(1));
  }

  /** @throws SecretNotFound, the reason of the context's signal, which is asked for only where the secret is large */
  async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<Secret> {
    const recordKey = this.recordKeys.ofSecret(scope, name);
    let record = await this.database.get(recordKey);
    if (record === undefined) throw new SecretNotFound(name);
    if (record.length >= LARGE_STEP_BYTES) {
      // Read again afterwards: however many wait for their turn, also of clients that have gone, none holds its record.
      record = undefined;
      await quietTurn('open', scope.user);
      context.signal.throwIfAborted();
    }
    const dataKey = (await this.workspaces.findKey(scope)) ?? keyIsMissing();
    record ??= await this.database.get(recordKey);
    if (record === undefined) throw new SecretNotFound(name);
    return unsealSecret(dataKey, { scope, recordKey }, record);
  }

  /**
   * Returns the secrets by name ascending by code unit. Large lists of different users are read in fair order.
   * @throws ListTooLarge, TooManyRequests where the queue is full or the wait too long, the reason of the signal
   */
  async list(scope: SecretScope, signal: AbortSignal): Promise<readonly Secret[]> {
    const small = await this.listUpTo(SMALL_LIST_BYTES, scope);
    if (small !== undefined) return small;
    const large = await this.largeLists.run(scope.user, () => this.listUpTo(MAX_LIST_BYTES, scope), {
      signal,
    });
    if (large === undefined) throw new ListTooLarge();
    return large;
  }

  /** @throws SecretAlreadyExists */
  async planCreate(
    workspaceKey: Buffer,
    scope: SecretScope,
    secret: Secret,
  ): Promise<readonly WriteOperation[]> {
    const recordKey = this.recordKeys.ofSecret(scope, secret.name);
    if (await this.database.has(recordKey)) throw new SecretAlreadyExists(secret.name);
    const put = (dataKey: KeyObject): WriteOperation => ({
      type: 'put',
      key: recordKey,
      value: sealSecret(dataKey, { scope, recordKey }, secret),
    });
    const found = await this.workspaces.findKey(scope);
    if (found !== undefined) return [put(found)];
    // One batch, so that there is no data key without a secret, and no secret without its data key.
    const made = this.workspaces.make(workspaceKey, scope);
    return [{ type: 'put', key: workspaceKey, value: made.sealed }, put(made.key)];
  }

  /** @throws SecretNotFound, PreconditionFailed */
  async planUpdate(
    scope: SecretScope,
    secret: Secret,
    precondition: Precondition | undefined,
  ): Promise<readonly WriteOperation[]> {
    const recordKey = await this.existing(scope, secret.name, precondition);
    const value = sealSecret(
      (await this.workspaces.findKey(scope)) ?? keyIsMissing(),
      { scope, recordKey },
      secret,
    );
    return [{ type: 'put', key: recordKey, value }];
  }

  /** @throws SecretNotFound, PreconditionFailed */
  async planDelete(
    scope: SecretScope,
    name: string,
    precondition: Precondition | undefined,
  ): Promise<readonly WriteOperation[]> {
    return [{ type: 'del', key: await this.existing(scope, name, precondition) }];
  }

  /** Returns the record key of a secret that exists and meets the precondition, for which alone its value is read. */
  private async existing(
    scope: SecretScope,
    name: string,
    precondition: Precondition | undefined,
  ): Promise<Buffer> {
    const recordKey = this.recordKeys.ofSecret(scope, name);
    if (precondition === undefined) {
      if (!(await this.database.has(recordKey))) throw new SecretNotFound(name);
      return recordKey;
    }
    const record = await this.database.get(recordKey);
    if (record === undefined) throw new SecretNotFound(name);
    precondition(
      unsealSecret((await this.workspaces.findKey(scope)) ?? keyIsMissing(), { scope, recordKey }, record),
    );
    return recordKey;
  }

  /** Returns undefined where there is more. */
  private async listUpTo(maxBytes: number, scope: SecretScope): Promise<readonly Secret[] | undefined> {
    const secrets: Secret[] = [];
    let bytes = 0;
    for await (const batch of recordBatches(this.database, this.recordKeys.ofScope(scope))) {
      const before = bytes;
      for (const [, record] of batch) bytes += secretBytesOf(record) + SECRET_OVERHEAD_BYTES;
      if (bytes > maxBytes) return undefined;
      const key = (await this.workspaces.findKey(scope)) ?? keyIsMissing();
      if (bytes - before >= LARGE_STEP_BYTES) await quietTurn('open', scope.user);
      for (const [recordKey, record] of batch) secrets.push(unsealSecret(key, { scope, recordKey }, record));
    }
    return secrets.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** A workspace that has secrets has a data key: that it has none is damage. */
function keyIsMissing(): never {
  throw new StoreUnavailable();
}
