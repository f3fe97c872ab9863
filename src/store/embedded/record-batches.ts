import type { Usage } from '../../secrets/usage';
import { secretBytesOf } from './secret-record';
import type { VaultDatabase } from './vault-database';

/** From one key to another, as the database takes it. */
export type RecordRange = Readonly<Partial<Record<'gte' | 'lt' | 'lte', Buffer>>>;

/** In one batch; the bytes may be exceeded by those of one record. */
const BOUNDS = { records: 1_000, bytes: 256 * 1024 };
const READING = { highWaterMarkBytes: BOUNDS.bytes, fillCache: false };

/** Records by key ascending, so many at a time that their memory is bounded however many there are. */
export function recordBatches(
  database: VaultDatabase,
  range: RecordRange,
): AsyncGenerator<[Buffer, Buffer][]> {
  return batchesOf(database.iterator({ ...range, ...READING }));
}

/** Their keys alone, in the same way. */
export function keyBatches(database: VaultDatabase, range: RecordRange): AsyncGenerator<Buffer[]> {
  return batchesOf(database.keys({ ...range, ...READING }));
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

async function* batchesOf<T>(entries: {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}): AsyncGenerator<T[]> {
  try {
    for (;;) {
      const batch = await entries.nextv(BOUNDS.records);
      if (batch.length === 0) return;
      yield batch;
    }
  } finally {
    await entries.close();
  }
}
