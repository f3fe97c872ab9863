import type { KeyObject } from 'node:crypto';
import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { TooManyRequests } from '../../errors/request-errors';
import { ListTooLarge } from '../../errors/store-errors';
import type { Secret, SecretScope } from '../../secrets/secret';
import { recordBatches, type RecordKeys, secretBytesOf, unsealSecret } from './records';
import type { VaultDatabase } from './records';

/** As much as an answer may carry: a list of more could not be sent. */
export const MAX_LIST_BYTES = 16 * 1024 * 1024;
/** A list of so much is read at once; what is larger waits for its turn, and holds nothing meanwhile. */
const SMALL_LIST_BYTES = 256 * 1024;

/** What the objects of one secret take beside its own bytes, roughly. */
const FRAME_BYTES = 160;

/** One of them takes up to twice its bytes. */
const LARGE_LISTS: FairQueueBounds = {
  maxRunning: 2,
  maxRunningPerKey: 1,
  maxWaiting: 500,
  maxWaitingPerKey: 125,
  maxWaitMs: 5_000,
};

/** Reads the secrets of scopes so that their memory is bounded, however many lists are wanted at once and however large they are. */
export class ScopeLists {
  private readonly turns: FairQueue;

  constructor(
    private readonly database: VaultDatabase,
    private readonly recordKeys: RecordKeys,
    time: MonotonicTime,
  ) {
    this.turns = new FairQueue(LARGE_LISTS, time, () => new TooManyRequests(1));
  }

  /**
   * By name ascending by code unit. Users take turns with lists that are large.
   * @param dataKey asked for where there is something to open
   * @throws ListTooLarge, or TooManyRequests where no turn comes in time
   */
  async read(scope: SecretScope, dataKey: () => Promise<KeyObject>): Promise<readonly Secret[]> {
    const small = await this.readUpTo(SMALL_LIST_BYTES, scope, dataKey);
    if (small !== undefined) return small;
    const large = await this.turns.run(scope.user, () => this.readUpTo(MAX_LIST_BYTES, scope, dataKey));
    if (large === undefined) throw new ListTooLarge();
    return large;
  }

  /** Undefined where there is more. */
  private async readUpTo(
    maxBytes: number,
    scope: SecretScope,
    dataKey: () => Promise<KeyObject>,
  ): Promise<readonly Secret[] | undefined> {
    const secrets: Secret[] = [];
    let bytes = 0;
    for await (const batch of recordBatches(this.database, this.recordKeys.ofScope(scope))) {
      for (const [, record] of batch) bytes += secretBytesOf(record) + FRAME_BYTES;
      if (bytes > maxBytes) return undefined;
      const key = await dataKey();
      for (const [recordKey, record] of batch) secrets.push(unsealSecret(key, { scope, recordKey }, record));
    }
    return secrets.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
