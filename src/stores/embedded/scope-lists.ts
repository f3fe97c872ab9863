import type { KeyObject } from 'node:crypto';
import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { TooManyRequests } from '../../errors/request-errors';
import { ListTooLarge } from '../../errors/store-errors';
import type { Secret, SecretScope } from '../../secrets/secret';
import { recordBatches, type RecordKeys, secretBytesOf, unsealSecret, type VaultDatabase } from './records';

/** As much as an answer may carry: a list of more could not be sent. */
export const MAX_LIST_BYTES = 16 * 1024 * 1024;
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

/** Reads the secrets of scopes in bounded memory, however many lists are read at once and however large they are. */
export class ScopeLists {
  private readonly largeLists: FairQueue;

  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    time: MonotonicTime,
  ) {
    this.largeLists = new FairQueue(LARGE_LISTS, time, () => new TooManyRequests(1));
  }

  /**
   * Returns the secrets by name ascending by code unit. Large lists of different users are read in fair order.
   * @param dataKey called only when there is a record to open
   * @throws ListTooLarge, TooManyRequests where the queue is full or the wait too long, the reason of the signal
   */
  async list(
    scope: SecretScope,
    dataKey: () => Promise<KeyObject>,
    signal: AbortSignal,
  ): Promise<readonly Secret[]> {
    const small = await this.listUpTo(SMALL_LIST_BYTES, scope, dataKey);
    if (small !== undefined) return small;
    const listLarge = () => this.listUpTo(MAX_LIST_BYTES, scope, dataKey);
    const large = await this.largeLists.run(scope.user, listLarge, { signal });
    if (large === undefined) throw new ListTooLarge();
    return large;
  }

  /** Returns undefined where there is more. */
  private async listUpTo(
    maxBytes: number,
    scope: SecretScope,
    dataKey: () => Promise<KeyObject>,
  ): Promise<readonly Secret[] | undefined> {
    const secrets: Secret[] = [];
    let bytes = 0;
    for await (const batch of recordBatches(this.database, this.recordKeys.ofScope(scope))) {
      const before = bytes;
      for (const [, record] of batch) bytes += secretBytesOf(record) + SECRET_OVERHEAD_BYTES;
      if (bytes > maxBytes) return undefined;
      const key = await dataKey();
      if (bytes - before >= LARGE_STEP_BYTES) await quietTurn('open', scope.user);
      for (const [recordKey, record] of batch) secrets.push(unsealSecret(key, { scope, recordKey }, record));
    }
    return secrets.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
