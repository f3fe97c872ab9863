import { outcome } from '../../conformance/secret-store.conformance';
import {
  CommitQueue,
  type BatchWriter,
  type WriteOperation,
} from '../../../src/stores/embedded/vault/commit-queue';
import { KeyedMutex } from '../../../src/concurrency/keyed-work';
import type { DiskSpace } from '../../../src/stores/embedded/disk-space';
import type { VaultDatabase } from '../../../src/stores/embedded/records';
import { type DatabaseRecovery, VaultWriter } from '../../../src/stores/embedded/vault/vault-writer';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

/** A database that remembers its batches and fails one of them; it takes one turn of the loop for each. */
class BatchesInMemory implements BatchWriter {
  readonly batches: (readonly WriteOperation[])[] = [];
  inFlight = 0;
  mostInFlight = 0;

  constructor(
    private readonly failing?: number,
    private readonly stored?: Buffer,
  ) {}

  async batch(operations: WriteOperation[], { sync }: { sync: boolean }): Promise<void> {
    expect(sync).toBe(true);
    this.batches.push(operations);
    const turn = this.batches.length;
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    await new Promise((done) => setImmediate(done));
    this.inFlight--;
    if (turn === this.failing) throw new Error('canary: /secret/path is full');
  }

  async get(): Promise<Buffer | undefined> {
    return this.stored;
  }
}

const never = async (): Promise<boolean> => false;
const always = async (): Promise<boolean> => true;
const endOf = (commit: Promise<void>) => outcome(commit).catch((error: Error) => error.constructor.name);

const put = (n: number): WriteOperation => ({ type: 'put', key: Buffer.from([n]), value: Buffer.from([n]) });
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

describe('The commit queue', () => {
  it('writes what waits together, in order, and never two batches at once', async () => {
    const database = new BatchesInMemory();
    const queue = new CommitQueue(database, never);
    await Promise.all(numbers(100).map((n) => queue.commit([put(n)])));
    expect(database.batches.flat()).toEqual(numbers(100).map(put));
    expect(database.batches.map((batch) => batch.length)).toEqual([1, 32, 32, 32, 3]);
    expect(database.mostInFlight).toBe(1);
  });

  it('writes no more than 1 MiB together, unless a single commit is larger', async () => {
    const database = new BatchesInMemory();
    const queue = new CommitQueue(database, never);
    const large = (kibibytes: number): WriteOperation => ({
      type: 'put',
      key: Buffer.from([1]),
      value: Buffer.alloc(kibibytes * 1024),
    });
    await Promise.all([1, 400, 400, 400, 2000, 1, 1].map((size) => queue.commit([large(size)])));
    expect(database.batches.map((batch) => batch.length)).toEqual([1, 2, 1, 1, 2]);
  });

  it('knows nothing about a batch that failed, and writes nothing after it', async () => {
    const database = new BatchesInMemory(2);
    const queue = new CommitQueue(database, never);
    const outcomes = await Promise.all(numbers(40).map((n) => outcome(queue.commit([put(n)]))));
    expect(outcomes).toEqual([
      'done',
      ...numbers(32).map(() => 'STORE_OUTCOME_UNKNOWN'),
      ...numbers(7).map(() => 'STORE_UNAVAILABLE'),
    ]);
    expect(await outcome(queue.commit([put(1)]))).toBe('STORE_UNAVAILABLE');
    expect(database.batches).toHaveLength(2);
    expect(await queue.repair()).toBe(false);
  });

  it.each([
    ['done', 'is there', Buffer.from([0])],
    ['NotWritten', 'is not', undefined],
    ['NotWritten', 'is what it was before', Buffer.from([7])],
  ])('says %s of a write that failed and %s when the database was opened anew', async (end, _, stored) => {
    const database = new BatchesInMemory(1, stored);
    const queue = new CommitQueue(database, always);
    expect(await endOf(queue.commit([put(0)]))).toBe(end);
    expect(await endOf(queue.commit([put(1)]))).toBe('done');
    expect(database.batches).toHaveLength(2);
  });

  it('says of a delete that failed that it is done where nothing is there any more', async () => {
    const del: WriteOperation = { type: 'del', key: Buffer.from([0]) };
    expect(await endOf(new CommitQueue(new BatchesInMemory(1), always).commit([del]))).toBe('done');
    const database = new BatchesInMemory(1, Buffer.from([0]));
    expect(await endOf(new CommitQueue(database, always).commit([del]))).toBe('NotWritten');
  });

  it('says of writes that failed behind a delete of what was not there that they were not written', async () => {
    const database = new BatchesInMemory(2);
    const queue = new CommitQueue(database, always);
    const del: WriteOperation = { type: 'del', key: Buffer.from([9]) };
    const ends = [[put(0)], [del], [put(1)], [put(2)]].map((operations) => endOf(queue.commit(operations)));
    expect(await Promise.all(ends)).toEqual(['done', 'NotWritten', 'NotWritten', 'NotWritten']);
  });

  it('compares the last operation of each key', async () => {
    const del: WriteOperation = { type: 'del', key: Buffer.from([0]) };
    const queue = new CommitQueue(new BatchesInMemory(1), always);
    expect(await endOf(queue.commit([put(0), del]))).toBe('done');
  });

  it('opens the database anew once for all that wait for it, and not again once it is open', async () => {
    let openings = 0;
    const ends: Promise<boolean>[] = [];
    const queue = new CommitQueue(new BatchesInMemory(1), async () => {
      openings += 1;
      // Others ask at every step in which the opening ends.
      void (async () => {
        for (let step = 0; step < 20; step++) {
          await Promise.resolve();
          ends.push(queue.repair());
        }
      })();
      return true;
    });
    expect(await endOf(queue.commit([put(0)]))).toBe('NotWritten');
    await new Promise((done) => setImmediate(done));
    expect(await Promise.all(ends)).toEqual(Array(20).fill(true));
    expect(openings).toBe(1);
  });

  it('takes writes again once the database could be opened anew', async () => {
    let isRoom = false;
    const queue = new CommitQueue(new BatchesInMemory(1), async () => isRoom);
    expect(await endOf(queue.commit([put(0)]))).toBe('STORE_OUTCOME_UNKNOWN');
    expect(await endOf(queue.commit([put(1)]))).toBe('STORE_UNAVAILABLE');
    isRoom = true;
    expect(await endOf(queue.commit([put(2)]))).toBe('done');
  });
});

describe('Keyed locks', () => {
  it('let one at a time work under a key, side by side under others, and are gone when idle', async () => {
    const locks = new KeyedMutex();
    const working = new Map<string, number>();
    let most = 0;
    let sideBySide = 0;
    await Promise.all(
      numbers(60).map((n) => {
        const key = `key ${n % 3}`;
        return locks.run(key, async () => {
          working.set(key, (working.get(key) ?? 0) + 1);
          most = Math.max(most, working.get(key)!);
          sideBySide = Math.max(
            sideBySide,
            [...working.values()].reduce((a, b) => a + b),
          );
          await new Promise((done) => setImmediate(done));
          working.set(key, working.get(key)! - 1);
        });
      }),
    );
    expect([most, sideBySide, locks.size]).toEqual([1, 3, 0]);
  });

  it('keep out who comes while others wait, after the first has left', async () => {
    const locks = new KeyedMutex();
    let working = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++working);
      await new Promise((done) => setImmediate(done));
      working--;
    };
    const early = numbers(3).map(() => locks.run('key', work));
    await early[0];
    const late = numbers(3).map(() => locks.run('key', work));
    await Promise.all([...early, ...late]);
    expect([most, locks.size]).toEqual([1, 0]);
  });

  it('are let go of by a failure, which reaches only its own caller', async () => {
    const locks = new KeyedMutex();
    const failing = locks.run('key', async () => Promise.reject(new Error('mine')));
    const next = locks.run('key', async () => 'done');
    await expect(failing).rejects.toThrow('mine');
    expect(await next).toBe('done');
    expect(locks.size).toBe(0);
  });
});

describe('Space that is given back on a nearly full disk', () => {
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
  };
  const failing = (compactionMs: number) => {
    const time = new FixedMonotonicTime();
    const begun: number[] = [];
    const database = Object.assign(new BatchesInMemory(), {
      compactRange: async (): Promise<void> => {
        begun.push(time.nowMs());
        time.advance(compactionMs);
        await new Promise((done) => setImmediate(done));
        throw new Error('no space left');
      },
    });
    const disk = {
      isLow: true,
      wantedReserve: 0,
      freeUp: async () => 1024 ** 3,
      prepareDelete: async () => undefined,
    };
    const writer = new VaultWriter(
      database as unknown as VaultDatabase,
      disk as unknown as DiskSpace,
      { generation: 0, recoverFrom: never } as unknown as DatabaseRecovery,
      time,
    );
    const write = async (): Promise<void> => {
      await writer.write([{ type: 'del', key: Buffer.from([3, 7]) }], false);
      await turns();
    };
    return { time, begun, writer, write };
  };

  it('is tried again 2 s after a compaction that failed, however long that took, later after up to a minute', async () => {
    const { time, begun, write, writer } = failing(3_000);
    const firstMs = time.nowMs();
    await write();
    for (let second = 0; second < 130; second++) {
      time.advance(1_000);
      await turns();
    }
    const pausesMs = begun.map((atMs, n) => atMs - (begun[n - 1] ?? firstMs) - (n === 0 ? 0 : 3_000));
    expect(pausesMs).toEqual([0, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
    await writer.close();
    time.advance(100_000);
    await turns();
    expect(begun).toHaveLength(7);
  });

  it('is tried again by a write that comes 2 s after one that failed, and not by an earlier one', async () => {
    const { time, begun, write } = failing(3_000);
    await write();
    time.advance(2_000);
    await turns();
    time.advance(1_999);
    await write();
    expect(begun).toHaveLength(2);
    time.advance(1);
    await write();
    expect(begun).toHaveLength(3);
    // The pause begins anew, and is as long as it was.
    time.advance(3_999);
    await turns();
    expect(begun).toHaveLength(3);
    time.advance(1);
    await turns();
    expect(begun).toHaveLength(4);
  });
});
