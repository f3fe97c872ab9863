import { outcome } from '../../conformance/secret-store.conformance';
import { quietTurn } from '../../../src/concurrency/quiet-turn';
import { ClientGone } from '../../../src/errors/request-errors';
import { type SecretScope, UNATTENDED } from '../../../src/secrets/secret';
import { RecordKeys, sealSecret } from '../../../src/stores/embedded/records';
import { openVault } from '../../../src/stores/embedded/vault/vault';
import { WorkspaceRecords } from '../../../src/stores/embedded/workspace-records';
import { buildChildren, type Build, type Child } from './child-process';
import { at, freshFolder, masterKeyOf, withStore } from './vault-under-test';

/** What V8 makes of the chart's memory limit of 320 MiB. */
const HEAP_MIB = 160;
const LARGE = 512 * 1024;

async function linesOf(child: Child): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of child.lines) lines.push(line);
  const { code, stderr } = await child.ended;
  return code === 0 ? lines : [...lines, `ended with ${code}`, stderr];
}

/** Puts so many secrets `0`, `1`, … into a workspace that has one already. */
async function pad(dataDir: string, scope: SecretScope, count: number, bytes: number): Promise<void> {
  const { database, keys } = await openVault({ dataDir, masterKey: masterKeyOf('A') });
  const recordKeys = new RecordKeys(keys.indexKey);
  const dataKey = (await new WorkspaceRecords(database, keys.wrappingKey, recordKeys).findKey(scope))!;
  const put = (name: string) => {
    const recordKey = recordKeys.ofSecret(scope, name);
    const value = sealSecret(dataKey, { scope, recordKey }, { name, value: 'v'.repeat(bytes) });
    return { type: 'put', key: recordKey, value } as const;
  };
  for (let done = 0; done < count; done += 1_000)
    await database.batch(Array.from({ length: Math.min(1_000, count - done) }, (_, i) => put(`${done + i}`)));
  await database.close();
}

function aClient(): { readonly signal: AbortSignal; readonly leave: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, leave: () => controller.abort(new ClientGone()) };
}

describe('The embedded store holds no more in memory than it must', () => {
  const folder = freshFolder();
  let build: Build;
  const start = (job: string, detail: string, heapMib = HEAP_MIB) =>
    build.start('test/stores/embedded/store-child.js', [job, folder.path, detail], { heapMib });
  beforeAll(() => {
    build = buildChildren();
  });
  afterAll(() => {
    build.remove();
    folder.remove();
  });

  it('while a large secret waits for its turn, and reads it no more where the client has gone meanwhile', async () => {
    await withStore(folder.path, async (client) => {
      const scope = at('gone', 'ws');
      await client.create(scope, { name: 'large', value: 'x'.repeat(LARGE) });
      const { signal, leave } = aClient();
      // So many steps that it waits for longer than it takes to leave.
      const steps = Array.from({ length: 500 }, () => quietTurn('write', 'others'));
      const read = client.store.retrieve(scope, 'large', { ...UNATTENDED, signal });
      leave();
      await expect(read).rejects.toBeInstanceOf(ClientGone);
      expect(await client.retrieve(scope, 'large')).toEqual({ name: 'large', value: 'x'.repeat(LARGE) });
      await Promise.all(steps);
    });
  });

  it('while a hundred lists of 8 MiB are wanted at once, whatever the values are made of', async () => {
    await withStore(folder.path, async (store) => {
      const values = [
        'x'.repeat(LARGE),
        `🚀${'x'.repeat(LARGE - 4)}`,
        '\u0001'.repeat(LARGE),
        'é'.repeat(LARGE / 2),
      ];
      await Promise.all(
        values.flatMap((value, user) =>
          Array.from({ length: 16 }, (_, n) => store.create(at(`u${user}`, 'ws'), { name: `k${n}`, value })),
        ),
      );
    });
    const lines = await linesOf(start('list', '4 100'));
    const counted = new Map(lines.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]));
    expect([...counted.keys()].filter((how) => how !== 'done' && how !== 'TOO_MANY_REQUESTS')).toEqual([]);
    expect(counted.get('done')).toBeGreaterThan(8);
    expect((counted.get('done') ?? 0) + (counted.get('TOO_MANY_REQUESTS') ?? 0)).toBe(100);
  }, 120_000);

  it('refuses a list of more than 16 MiB, and reads and deletes its secrets one by one', async () => {
    const scope = at('u9', 'ws');
    await withStore(folder.path, async (store) => store.create(scope, { name: 'k', value: 'v' }));
    await pad(folder.path, scope, 40, LARGE);
    await withStore(folder.path, async (store) => {
      expect(await outcome(store.list(scope))).toBe('LIST_TOO_LARGE');
      expect(await store.retrieve(scope, 'k')).toEqual({ name: 'k', value: 'v' });
      expect((await store.measure(scope)).secrets).toBe(41);
      for (let n = 0; n < 40; n++) await store.delete(scope, `${n}`);
      expect(await store.list(scope)).toEqual([{ name: 'k', value: 'v' }]);
    });
  }, 120_000);

  it('refuses a list of a great many small secrets, and removes them on a heap of 40 MiB', async () => {
    const scope = at('u10', 'ws');
    await withStore(folder.path, async (store) => store.create(scope, { name: 'k', value: 'v' }));
    await pad(folder.path, scope, 110_000, 10);
    await withStore(folder.path, async (store) => {
      expect(await outcome(store.list(scope))).toBe('LIST_TOO_LARGE');
    });
    expect(await linesOf(start('remove', 'u10', 40))).toEqual(['left 0']);
    await withStore(folder.path, async (store) => expect(await store.list(scope)).toEqual([]));
  }, 120_000);
});
