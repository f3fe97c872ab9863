import type { StoreClient } from '../../support/store-client';
import { createSecretKey } from 'node:crypto';
import { StoreOutcomeUnknown } from '../../../src/errors/store-errors';
import type { DiskSpace } from '../../../src/stores/embedded/disk-space';
import type { BatchWriter } from '../../../src/stores/embedded/vault/commit-queue';
import type { DatabaseRecovery, VaultWriter } from '../../../src/stores/embedded/vault/vault-writer';
import { outcome } from '../../conformance/secret-store.conformance';
import { ENVIRONMENTS } from '../../../src/secrets/secret';
import type { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { WorkspaceRecords } from '../../../src/stores/embedded/workspace-records';
import { RecordKeys, type VaultDatabase } from '../../../src/stores/embedded/records';
import { at, freshFolder, withRecords, withStore } from './vault-under-test';

const META_RECORD = 1;
const WORKSPACE_RECORD = 2;

async function removeAll(store: StoreClient<EmbeddedSecretStore>, user: string): Promise<void> {
  for (const workspace of await store.workspacesOf(user)) await store.removeWorkspace(workspace);
}

/** Lets the next write fail as on a full disk, and writes wait for the returned function; the database has that write once it is reopened. */
function failing({ store }: StoreClient<EmbeddedSecretStore>): () => void {
  const database = Reflect.get(store, 'database') as BatchWriter & { open(): Promise<void> };
  const disk = Reflect.get(store, 'disk') as DiskSpace;
  const recovery = Reflect.get(store, 'recovery') as DatabaseRecovery;
  const batch = database.batch.bind(database);
  const open = database.open.bind(database);
  const freeUpToOpen = disk.freeUpToOpen.bind(disk);
  disk.freeUpToOpen = async () => 0;
  database.batch = async (operations, options) => {
    database.batch = batch;
    database.open = async () => {
      database.open = open;
      await open();
      await batch(operations, options);
    };
    throw new Error('IO error: vault/000005.log: No space left on device');
  };
  return () => {
    disk.freeUpToOpen = freeUpToOpen;
    Reflect.set(recovery, 'notBeforeMs', -Infinity);
  };
}

describe('Removing the workspaces of a user from the embedded store', () => {
  const folder = freshFolder();
  beforeEach(() => withStore(folder.path, fill));
  afterAll(() => folder.remove());

  const fill = async (store: StoreClient<EmbeddedSecretStore>) => {
    for (const workspace of ['one', 'two']) {
      for (const environment of ENVIRONMENTS) {
        await store
          .create(at('gone', workspace, environment), { name: 'k', value: 'v' })
          .catch(() => undefined);
      }
    }
  };
  const records = () => withRecords(folder.path, (all) => all.keys().all());

  it('leaves no record of them behind, and stays done after a restart', async () => {
    await withStore(folder.path, (store) => removeAll(store, 'gone'));
    expect((await records()).map((key) => key[0])).toEqual([META_RECORD]);
    await withStore(folder.path, async (store) => {
      expect(await store.workspacesOf('gone')).toEqual([]);
      expect(await store.list(at('gone', 'one'))).toEqual([]);
    });
  });

  it('forgets the data key: what is written afterwards can be read after a restart', async () => {
    const scope = at('gone', 'one');
    await withStore(folder.path, async (store) => {
      // Reads that overlap the removal must not bring the old key back.
      const reads = async () => {
        for (let i = 0; i < 50; i++) await outcome(store.retrieve(scope, 'k'));
      };
      await Promise.all([reads(), removeAll(store, 'gone'), reads()]);
      await store.create(scope, { name: 'after', value: 'v' });
    });
    await withStore(folder.path, async (store) => {
      expect(await store.list(scope)).toEqual([{ name: 'after', value: 'v' }]);
      await removeAll(store, 'gone');
    });
  });

  it('forgets the data key also where nobody knows whether it is deleted', async () => {
    const scopes = ['one', 'two'].map((workspace) => at('gone', workspace));
    await withStore(folder.path, async (store) => {
      for (const scope of scopes) await store.retrieve(scope, 'k');
      const writer = Reflect.get(store.store, 'writer') as VaultWriter;
      const write = writer.write.bind(writer);
      writer.write = async (...operations) => {
        await write(...operations);
        throw new StoreOutcomeUnknown();
      };
      for (const workspace of await store.workspacesOf('gone'))
        expect(await outcome(store.removeWorkspace(workspace))).toBe('STORE_OUTCOME_UNKNOWN');
      writer.write = write;
      for (const scope of scopes) await store.create(scope, { name: 'after', value: 'v' });
    });
    await withStore(folder.path, async (store) => {
      for (const scope of scopes) expect(await store.list(scope)).toEqual([{ name: 'after', value: 'v' }]);
      await removeAll(store, 'gone');
    });
  });

  describe.each(['a check of the store', 'the next write'])(
    'plans no write on what was there before one whose outcome nobody knows, where %s reopens the database',
    (by) => {
      const reopen = async (store: StoreClient<EmbeddedSecretStore>) => {
        if (by === 'a check of the store') await store.store.ping();
      };

      it('and the data key is deleted then, although a read found it meanwhile', async () => {
        const scope = at('gone', 'only');
        await withStore(folder.path, async (store) => {
          await removeAll(store, 'gone');
          await store.create(scope, { name: 'k', value: 'v' });
          const mend = failing(store);
          const [workspace] = await store.workspacesOf('gone');
          expect(await outcome(store.removeWorkspace(workspace!))).toBe('STORE_OUTCOME_UNKNOWN');
          expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'v' });
          expect(await outcome(store.create(scope, { name: 'after', value: 'v' }))).toBe('STORE_UNAVAILABLE');
          mend();
          await reopen(store);
          await store.create(scope, { name: 'after', value: 'v' });
        });
        await withStore(folder.path, async (store) => {
          expect(await store.list(scope)).toEqual([{ name: 'after', value: 'v' }]);
          await removeAll(store, 'gone');
        });
      });

      it('and the data key is there then', async () => {
        const scope = at('gone', 'new');
        await withStore(folder.path, async (store) => {
          const mend = failing(store);
          expect(await outcome(store.create(scope, { name: 'a', value: 'v' }))).toBe('STORE_OUTCOME_UNKNOWN');
          expect(await store.list(scope)).toEqual([]);
          mend();
          await reopen(store);
          await store.create(scope, { name: 'b', value: 'v' });
        });
        await withStore(folder.path, async (store) => {
          expect((await store.list(scope)).map(({ name }) => name)).toEqual(['a', 'b']);
          await removeAll(store, 'gone');
        });
      });
    },
  );

  it('goes on around a workspace that does not open', async () => {
    await withRecords(folder.path, async (all) => {
      const key = (await all.keys().all()).find(([kind]) => kind === WORKSPACE_RECORD)!;
      await all.put(key, Buffer.alloc(80));
    });
    await withStore(folder.path, async (store) => {
      expect(await store.workspacesOf('gone')).toHaveLength(1);
      await removeAll(store, 'gone');
      expect(await store.workspacesOf('gone')).toEqual([]);
    });
  });
});

describe('The data keys in memory', () => {
  it('forget a removed workspace although a read that began before the removal ends after it', async () => {
    const [indexKey, wrappingKey] = [1, 2].map((byte) => createSecretKey(Buffer.alloc(32, byte)));
    const recordKeys = new RecordKeys(indexKey!);
    const names = { user: 'gone', workspace: 'one' };
    const workspaceKey = recordKeys.ofWorkspace(names);
    let stored: Buffer | undefined;
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    const database = {
      get: async () => {
        const found = stored;
        await gate;
        return found;
      },
    } as unknown as VaultDatabase;
    const keys = new WorkspaceRecords(database, wrappingKey!, recordKeys);
    stored = keys.make(workspaceKey, names).sealed;
    const begunBefore = keys.findKey(names);
    stored = undefined;
    keys.forgetKey(workspaceKey);
    letGo();
    expect(await begunBefore).toBeDefined();
    expect(await keys.findKey(names)).toBeUndefined();
  });
});
