import type { Usage } from '../../secrets/usage';
import { secretBytesOf } from './secret-record';
import type { VaultDatabase } from './vault-database';

/** Half-open or closed, as the database takes it. */
export type RecordRange = Readonly<Partial<Record<'gt' | 'gte' | 'lt' | 'lte', Buffer>>>;

const MAX_RECORDS = 1_000;
/** A batch has one record more than fits. */
const BATCH_BYTES = 256 * 1024;

/** Records by key ascending, so many at a time that their memory is bounded however many there are. */
export async function* recordBatches(
  database: VaultDatabase,
  range: RecordRange,
): AsyncGenerator<[Buffer, Buffer][]> {
  const records = database.iterator({ ...range, highWaterMarkBytes: BATCH_BYTES, fillCache: false });
  try {
    for (;;) {
      const batch = await records.nextv(MAX_RECORDS);
      if (batch.length === 0) return;
      yield batch;
    }
  } finally {
    await records.close();
  }
}

/** What the secrets of a range take, by the size of their records. */
export async function usageIn(database: VaultDatabase, range: RecordRange): Promise<Usage> {
  let [secrets, bytes] = [0, 0];
  for await (const batch of recordBatches(database, range)) {
    secrets += batch.length;
    for (const [, record] of batch) bytes += secretBytesOf(record);
  }
  return { secrets, bytes };
}
