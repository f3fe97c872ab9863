import type { DeletionJobStorage, StoredDeletionJob } from '../../src/user-deprovisioning/deletion-jobs';

/** A storage under test, which the suite may leave with jobs in it. */
export interface DeletionJobStorageSubject {
  readonly storage: DeletionJobStorage;
  /** The same jobs, seen by another process or after a restart. */
  reopened(): Promise<DeletionJobStorage>;
  close(): Promise<void>;
}

const job = (id: string, text = `{"user":"alice","id":"${id}"}`): StoredDeletionJob => ({ id, text });

/** Defines the tests that every implementation of DeletionJobStorage passes. */
export function describeDeletionJobStorage(
  name: string,
  open: () => Promise<DeletionJobStorageSubject>,
): void {
  describe(`the deletion jobs of ${name}`, () => {
    let subject: DeletionJobStorageSubject;
    let storage: DeletionJobStorage;
    beforeEach(async () => {
      subject = await open();
      storage = subject.storage;
    });
    afterEach(async () => subject.close());

    const sorted = async (of: DeletionJobStorage = storage): Promise<readonly StoredDeletionJob[]> =>
      [...(await of.list())].sort((a, b) => (a.id < b.id ? -1 : 1));

    it('are none at first', async () => {
      expect(await storage.list()).toEqual([]);
    });

    it('are listed as they were created', async () => {
      const texts = [
        '',
        '  spaces around  ',
        '{"user":"ünïcode 🔑","found":["a","b"]}',
        '${a.b}',
        'x'.repeat(20_000),
      ];
      const jobs = texts.map((text, at) => job(`removal-${at}`, text));
      for (const one of jobs) await storage.create(one);
      expect(await sorted()).toEqual(jobs);
    });

    it('are kept by a second create of the same id', async () => {
      await storage.create(job('a', 'first'));
      await storage.create(job('a', 'second'));
      expect(await storage.list()).toEqual([job('a', 'first')]);
    });

    it('are one where several creates of one id come at once', async () => {
      await Promise.all(Array.from({ length: 5 }, (_, at) => storage.create(job('a', `${at}`))));
      expect(await storage.list()).toHaveLength(1);
    });

    it('are replaced by an update', async () => {
      await storage.create(job('a'));
      await storage.create(job('b'));
      await storage.update(job('a', 'changed'));
      expect(await sorted()).toEqual([job('a', 'changed'), job('b')]);
    });

    it('are not made by an update, neither before the first create nor after a delete', async () => {
      await storage.update(job('a'));
      expect(await storage.list()).toEqual([]);
      await storage.create(job('a'));
      await storage.delete('a');
      await storage.update(job('a'));
      expect(await storage.list()).toEqual([]);
    });

    it('are gone after a delete, which may be repeated', async () => {
      await storage.delete('a');
      await storage.create(job('a'));
      await storage.create(job('b'));
      await storage.delete('a');
      await storage.delete('a');
      expect(await storage.list()).toEqual([job('b')]);
      await storage.create(job('a', 'new'));
      expect(await sorted()).toEqual([job('a', 'new'), job('b')]);
    });

    it('are seen by the next process', async () => {
      await storage.create(job('a'));
      await storage.create(job('b'));
      await storage.update(job('b', 'changed'));
      await storage.delete('a');
      const other = await subject.reopened();
      expect(await other.list()).toEqual([job('b', 'changed')]);
    });
  });
}
