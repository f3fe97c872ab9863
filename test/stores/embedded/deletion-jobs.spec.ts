import { StoreUnavailable } from '../../../src/errors/store-errors';
import { DELETION_JOB_RECORDS } from '../../../src/stores/embedded/records';
import { rotateMasterKey } from '../../../src/stores/embedded/vault/vault';
import { filesBelow, freshFolder, masterKeyOf, openStore, withRecords, withStore } from './vault-under-test';

const JOB = { id: 'removal-canary', text: '{"user":"canary-user"}' };

describe('The deletion jobs in the embedded store', () => {
  let folder: ReturnType<typeof freshFolder>;
  beforeEach(async () => {
    folder = freshFolder();
    await withStore(folder.path, ({ store: { deletionJobs } }) => deletionJobs.create(JOB));
  });
  afterEach(() => folder.remove());

  it('are nowhere in plain text', () => {
    const files = [...filesBelow(folder.path).values()];
    expect(files.some((bytes) => bytes.length > 0)).toBe(true);
    expect(files.filter((bytes) => bytes.includes('canary'))).toEqual([]);
  });

  it('are no secrets of anybody, and no workspace', async () => {
    await withStore(folder.path, async (store) => {
      for (const user of ['', 'canary-user', 'deletion job']) {
        expect(await store.workspacesOf(user)).toEqual([]);
        expect(await store.measureUser(user)).toEqual({ secrets: 0, bytes: 0 });
      }
    });
  });

  it('open after a rotation of the master key, under the new key alone', async () => {
    const [masterKey, newMasterKey] = [masterKeyOf('A'), masterKeyOf('B')];
    await rotateMasterKey({ dataDir: folder.path, masterKey, newMasterKey });
    await withStore(
      folder.path,
      async ({ store: { deletionJobs } }) => expect(await deletionJobs.list()).toEqual([JOB]),
      newMasterKey,
    );
  });

  it.each(['changed', 'moved to another key'])('fail the list where a record was %s', async (what) => {
    await withRecords(folder.path, async (records) => {
      const [[key, record]] = (await records.iterator(DELETION_JOB_RECORDS).all()) as [[Buffer, Buffer]];
      const [other, changed] = [Buffer.from(key), Buffer.from(record)];
      other[5]! ^= 1;
      changed[20]! ^= 1;
      if (what === 'changed') await records.put(key, changed);
      else await records.put(other, record);
    });
    const store = await openStore(folder.path);
    await expect(store.store.deletionJobs.list()).rejects.toThrow(StoreUnavailable);
    await store.close();
    await expect(store.store.deletionJobs.list()).rejects.toThrow(StoreUnavailable);
  });
});
