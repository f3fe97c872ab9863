import type { StoreClient } from '../../support/store-client';
import { createSecretKey, randomBytes } from 'node:crypto';
import { cpSync } from 'node:fs';
import { outcome } from '../../conformance/secret-store.conformance';
import type { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { NotAuthentic, sealSecret, unsealSecret } from '../../../src/stores/embedded/records';
import { at, freshFolder, withRecords, withStore } from './vault-under-test';

/** One user's two workspaces and environments, and another user: where a record could be moved to. */
const PLACES = {
  here: { scope: at('alice', 'ws'), name: 'k' },
  'other name': { scope: at('alice', 'ws'), name: 'l' },
  'other environment': { scope: at('alice', 'ws', 'dev'), name: 'k' },
  'other workspace': { scope: at('alice', 'xs'), name: 'k' },
  'other user': { scope: at('bob', 'ws'), name: 'k' },
};
type Place = keyof typeof PLACES;
const TITLES = Object.keys(PLACES) as Place[];

const SECRET_RECORD = 3;
const WORKSPACE_RECORD = 2;

describe('Somebody who edits the database of the embedded store', () => {
  let folder: ReturnType<typeof freshFolder>;
  /** The keys of the records of each place, learnt by writing one after the other. */
  let secretKeys: Record<Place, Buffer>;
  let workspaceKeys: Record<Place, Buffer>;

  const pristine = freshFolder();
  beforeAll(async () => {
    const known = new Set<string>();
    const learnt = {
      [SECRET_RECORD]: new Map<Place, Buffer>(),
      [WORKSPACE_RECORD]: new Map<Place, Buffer>(),
    };
    for (const title of TITLES) {
      const { scope, name } = PLACES[title];
      await withStore(pristine.path, (store) => store.create(scope, { name, value: `at ${title}` }));
      const keys = await withRecords(pristine.path, (records) => records.keys().all());
      for (const key of keys.filter((each) => !known.has(each.toString('hex')))) {
        known.add(key.toString('hex'));
        if (key[0] === SECRET_RECORD) learnt[SECRET_RECORD].set(title, key);
        if (key[0] === WORKSPACE_RECORD) learnt[WORKSPACE_RECORD].set(title, key);
      }
    }
    secretKeys = Object.fromEntries(learnt[SECRET_RECORD]) as Record<Place, Buffer>;
    workspaceKeys = Object.fromEntries(learnt[WORKSPACE_RECORD]) as Record<Place, Buffer>;
    expect(Object.keys(secretKeys)).toHaveLength(5);
    expect(Object.keys(workspaceKeys)).toHaveLength(3);
  });
  afterAll(() => pristine.remove());
  beforeEach(() => {
    folder = freshFolder();
    cpSync(pristine.path, folder.path, { recursive: true });
  });
  afterEach(() => folder.remove());

  const retrieved = (store: StoreClient<EmbeddedSecretStore>, title: Place) =>
    outcome(store.retrieve(PLACES[title].scope, PLACES[title].name));

  async function copy(from: Buffer, to: Buffer): Promise<void> {
    await withRecords(folder.path, async (records) => records.put(to, (await records.get(from))!));
  }

  it.each(TITLES.slice(1))('cannot serve the secret of here at another place: %s', async (title) => {
    await copy(secretKeys.here, secretKeys[title]);
    await withStore(folder.path, async (store) => {
      expect(await retrieved(store, title)).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.list(PLACES[title].scope))).toBe('STORE_UNAVAILABLE');
      for (const other of TITLES.filter((each) => each !== title)) {
        expect([other, await retrieved(store, other)]).toEqual([other, 'done']);
      }
      expect(await outcome(store.ping())).toBe('done');
    });
  });

  it('cannot add a record of a name that was not written: not even a copy beside the original', async () => {
    const stray = Buffer.from(secretKeys.here);
    stray[stray.length - 1]! ^= 1;
    await copy(secretKeys.here, stray);
    await withStore(folder.path, async (store) => {
      expect(await retrieved(store, 'here')).toBe('done');
      expect(await outcome(store.list(PLACES.here.scope))).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.list(PLACES['other environment'].scope))).toBe('done');
    });
  });

  it('cannot move a whole workspace: its data key does not open under another one', async () => {
    await copy(workspaceKeys.here, workspaceKeys['other user']);
    await copy(secretKeys.here, secretKeys['other user']);
    await withStore(folder.path, async (store) => {
      expect(await retrieved(store, 'other user')).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.create(PLACES['other user'].scope, { name: 'new', value: 'v' }))).toBe(
        'STORE_UNAVAILABLE',
      );
      expect(await retrieved(store, 'here')).toBe('done');
    });
  });

  it('breaks a workspace by taking its data key away, and no other; it is not taken for a new one', async () => {
    await withRecords(folder.path, (records) => records.del(workspaceKeys['other workspace']));
    await withStore(folder.path, async (store) => {
      const { scope, name } = PLACES['other workspace'];
      expect(await retrieved(store, 'other workspace')).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.list(scope))).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.update(scope, { name, value: 'v' }))).toBe('STORE_UNAVAILABLE');
      for (const other of ['here', 'other user'] as const) expect(await retrieved(store, other)).toBe('done');
    });
  });

  it.each([0, 5, 11, 12, 20, -17, -16, -1])(
    'is found at any changed byte of a record (%d)',
    async (position) => {
      await withRecords(folder.path, async (records) => {
        const record = (await records.get(secretKeys.here))!;
        record[position < 0 ? record.length + position : position]! ^= 0x80;
        await records.put(secretKeys.here, record);
      });
      await withStore(folder.path, async (store) => {
        expect(await retrieved(store, 'here')).toBe('STORE_UNAVAILABLE');
        expect(await retrieved(store, 'other name')).toBe('done');
      });
    },
  );

  it.each([0, 1, 12, 27, 28, 31])('is found when a record is cut to %d bytes', async (length) => {
    await withRecords(folder.path, async (records) => {
      await records.put(secretKeys.here, (await records.get(secretKeys.here))!.subarray(0, length));
    });
    await withStore(folder.path, async (store) => {
      expect(await retrieved(store, 'here')).toBe('STORE_UNAVAILABLE');
    });
  });

  it('leaves what an update or a delete can mend', async () => {
    await copy(secretKeys.here, secretKeys['other name']);
    await withStore(folder.path, async (store) => {
      const { scope, name } = PLACES['other name'];
      expect(await outcome(store.create(scope, { name, value: 'v' }))).toBe('SECRET_ALREADY_EXISTS');
      await store.update(scope, { name, value: 'mended' });
      expect(await store.list(scope)).toEqual([
        { name: 'k', value: 'at here' },
        { name: 'l', value: 'mended' },
      ]);
    });
  });

  it.each(TITLES.slice(2))('cannot serve a record at the same key of another scope either: %s', (title) => {
    const key = createSecretKey(randomBytes(32));
    const recordKey = secretKeys.here;
    const record = sealSecret(key, { scope: PLACES.here.scope, recordKey }, { name: 'k', value: 'v' });
    expect(unsealSecret(key, { scope: PLACES.here.scope, recordKey }, record)).toEqual({
      name: 'k',
      value: 'v',
    });
    expect(() => unsealSecret(key, { scope: PLACES[title].scope, recordKey }, record)).toThrow(NotAuthentic);
  });

  it('gets no foreign error, cause or value out of a failure', async () => {
    await copy(secretKeys.here, secretKeys['other name']);
    await withStore(folder.path, async (store) => {
      const { scope, name } = PLACES['other name'];
      const error: unknown = await store.retrieve(scope, name).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ reason: 'STORE_UNAVAILABLE', details: {} });
      expect(Object.hasOwn(error as object, 'cause')).toBe(false);
    });
  });

  it('sees that reads of an unknown workspace create nothing', async () => {
    const records = () => withRecords(folder.path, (all) => all.iterator().all());
    const before = await records();
    await withStore(folder.path, async (store) => {
      const nowhere = at('carol', 'ws');
      expect(await store.list(nowhere)).toEqual([]);
      expect(await outcome(store.retrieve(nowhere, 'k'))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.update(nowhere, { name: 'k', value: 'v' }))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.delete(nowhere, 'k'))).toBe('SECRET_NOT_FOUND');
    });
    expect(await records()).toEqual(before);
  });
});
