import type { StoreClient } from '../../support/store-client';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretScope } from '../../../src/secrets/secret';
import type { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { outcome } from '../../conformance/secret-store.conformance';
import { describeWith } from '../../support/describe-with';
import { eventually } from '../../support/eventually';
import { SmallDisk } from '../../support/small-disk';
import { buildChildren, type Build } from './child-process';
import { at, openStore, refusal, withStore } from './vault-under-test';

const LARGE = 'x'.repeat(512 * 1024);
const FULL_SCOPE = at('mallory', 'large');
const NOTES = at('alice', 'notes');
/** The long form: FULL_DISK_KILLS=60. */
const KILLS = Number(process.env['FULL_DISK_KILLS'] ?? 4);

describeWith('small disk', 'The embedded store on a small disk', () => {
  let disk: SmallDisk;
  let build: Build;
  beforeAll(() => {
    build = buildChildren();
  });
  afterAll(() => build.remove());
  afterEach(() => disk.remove());

  let names = 0;
  /** Eight at a time until the store refuses. Returns the names of what was stored and what was not, and how the latter ended. */
  async function writeUntilRefused(store: StoreClient<EmbeddedSecretStore>, count = 1_000) {
    const [stored, refused, ends] = [new Array<string>(), new Array<string>(), new Set<string>()];
    const last = names + count;
    const writer = async (): Promise<void> => {
      while (names < last && ends.size === 0) {
        const name = `k${names++}`;
        const end = await outcome(store.create(FULL_SCOPE, { name, value: LARGE }));
        if (end !== 'done') ends.add(end);
        (end === 'done' ? stored : refused).push(name);
      }
    };
    await Promise.all(Array.from({ length: 8 }, writer));
    return { stored, refused, ends: [...ends] };
  }

  /** Until also what LevelDB gives back is used up, as far as can be told: a compaction may end later than one waits for. */
  async function writeUntilNothingFits(store: StoreClient<EmbeddedSecretStore>): Promise<string[]> {
    const all: string[] = [];
    for (;;) {
      const { stored, ends } = await writeUntilRefused(store);
      expect(ends).toEqual(['STORE_FULL']);
      if (stored.length === 0) return all;
      all.push(...stored);
      await noMoreCompactions();
    }
  }

  const expectReadable = async (
    store: StoreClient<EmbeddedSecretStore>,
    scope: SecretScope,
    names: readonly string[],
  ) => {
    for (const name of names) expect((await store.retrieve(scope, name)).value === LARGE).toBe(true);
  };
  const deleteAll = async (store: StoreClient<EmbeddedSecretStore>, names: readonly string[]) => {
    for (const name of names)
      expect([name, await outcome(store.delete(FULL_SCOPE, name))]).toEqual([name, 'done']);
  };
  /** What was deleted is given back to the disk a moment later. */
  const takesWritesAgain = async (store: StoreClient<EmbeddedSecretStore>): Promise<void> => {
    const name = `again${names++}`;
    const untilMs = performance.now() + 20_000;
    let end: string;
    while ((end = await outcome(store.create(NOTES, { name, value: 'v' }))) !== 'done') {
      expect([end, performance.now() < untilMs]).toEqual(['STORE_FULL', true]);
      await new Promise((resume) => setTimeout(resume, 20));
    }
  };
  /** A compaction has the reserve, which somebody who fills the disk would take too. */
  const noMoreCompactions = async (): Promise<void> => {
    for (let [quietFor, free] = [0, 0]; quietFor < 10; free = disk.freeBytes) {
      await new Promise((resume) => setTimeout(resume, 50));
      quietFor = disk.freeBytes === free ? quietFor + 1 : 0;
    }
  };
  const reserveBytes = () => statSync(join(disk.path, 'vault.reserve')).size;

  it.each([
    [32, 4],
    [80, 30],
  ])(
    'of %d MiB refuses what would use its reserve up, reads and deletes, and takes writes again afterwards',
    async (mebibytes, atLeast) => {
      disk = new SmallDisk(mebibytes);
      const store = await openStore(disk.path);
      await store.create(NOTES, { name: 'k', value: 'v' });
      const stored = await writeUntilNothingFits(store);
      expect(stored.length).toBeGreaterThan(atLeast);
      expect(store.problems()).toHaveLength(1);
      expect(await outcome(store.ping())).toBe('done');
      await eventually(async () =>
        expect(await outcome(store.update(FULL_SCOPE, { name: stored[0]!, value: LARGE }))).toBe(
          'STORE_FULL',
        ),
      );
      expect(await store.list(NOTES)).toEqual([{ name: 'k', value: 'v' }]);
      await expectReadable(store, FULL_SCOPE, stored);
      await store.close();
      await withStore(disk.path, async (reopened) => {
        await expectReadable(reopened, FULL_SCOPE, stored);
        await deleteAll(reopened, stored);
        await takesWritesAgain(reopened);
        await eventually(() => expect(reopened.problems()).toEqual([]));
        let again = 0;
        await eventually(async () => {
          again += (await writeUntilNothingFits(reopened)).length;
          expect(again).toBeGreaterThan(0.8 * stored.length);
        });
      });
    },
  );

  it('stores deletion jobs also when it is full', async () => {
    disk = new SmallDisk(32);
    const store = await openStore(disk.path);
    await writeUntilRefused(store);
    await noMoreCompactions();
    disk.fill();
    const { deletionJobs } = store.store;
    expect(await outcome(deletionJobs.create({ id: 'a', text: 'job' }))).toBe('done');
    expect(await outcome(deletionJobs.update({ id: 'a', text: 'job'.repeat(100) }))).toBe('done');
    expect(await outcome(deletionJobs.delete('a'))).toBe('done');
    expect(await outcome(store.create(NOTES, { name: 'k', value: LARGE }))).toBe('STORE_FULL');
    await store.close();
  });

  it('has space again after a workspace is removed', async () => {
    disk = new SmallDisk(32);
    const store = await openStore(disk.path);
    await writeUntilRefused(store);
    await noMoreCompactions();
    disk.fill();
    for (const workspace of await store.workspacesOf(FULL_SCOPE.user)) await store.removeWorkspace(workspace);
    disk.clear();
    await takesWritesAgain(store);
    await store.close();
  });

  it('starts on a disk that somebody else filled, reads and deletes there, and stores again when there is space', async () => {
    disk = new SmallDisk(80);
    const store = await openStore(disk.path);
    const { stored } = await writeUntilRefused(store, 30);
    await store.close();
    disk.fill();
    expect(disk.freeBytes).toBe(0);
    const full = await openStore(disk.path);
    await expectReadable(full, FULL_SCOPE, stored);
    expect(await outcome(full.create(NOTES, { name: 'k', value: 'v' }))).toBe('STORE_FULL');
    expect(full.problems()).toHaveLength(1);
    await deleteAll(full, stored.slice(10));
    await full.close();
    disk.clear();
    await withStore(disk.path, async (reopened) => {
      await expectReadable(reopened, FULL_SCOPE, stored.slice(0, 10));
      await reopened.create(NOTES, { name: 'k', value: 'v' });
      expect(reserveBytes()).toBeGreaterThanOrEqual(8 * 1024 * 1024);
    });
  });

  it('reads on when somebody else fills the disk in the midst of its writes, and knows the outcome of each', async () => {
    disk = new SmallDisk(80);
    const store = await openStore(disk.path);
    const { stored } = await writeUntilRefused(store, 20);
    // The next write measures anew, and is believed for a second: LevelDB itself meets the full disk.
    await new Promise((resume) => setTimeout(resume, 1_100));
    await store.create(NOTES, { name: 'k', value: 'v' });
    disk.fill();
    let isOver = false;
    const readers = Array.from({ length: 4 }, async (_, n) => {
      const ends = new Set<string>();
      while (!isOver) {
        ends.add(await outcome(n === 0 ? store.list(NOTES) : store.retrieve(NOTES, 'k')));
        await new Promise((resume) => setImmediate(resume));
      }
      return [...ends];
    });
    const later = await writeUntilRefused(store);
    isOver = true;
    expect(await Promise.all(readers)).toEqual([['done'], ['done'], ['done'], ['done']]);
    expect(later.ends).toEqual(['STORE_FULL']);
    await expectReadable(store, FULL_SCOPE, [...stored, ...later.stored]);
    const isThere = await Promise.all(later.refused.map((name) => outcome(store.retrieve(FULL_SCOPE, name))));
    expect(new Set(isThere)).toEqual(new Set(['SECRET_NOT_FOUND']));
    await deleteAll(store, [...stored, ...later.stored]);
    disk.clear();
    await takesWritesAgain(store);
    expect((await writeUntilRefused(store, 10)).stored).toHaveLength(10);
    await store.close();
  });

  it('opens after each kill with all that it acknowledged, on a disk filled by itself or by somebody else', async () => {
    disk = new SmallDisk(48);
    const ends = new Set<string>();
    /** Version by name; several where the kill came before an answer. */
    const model = new Map<string, ReadonlySet<number>>();
    for (let kill = 1; kill <= KILLS; kill++) {
      const child = build.start('test/stores/embedded/store-child.js', ['churn', disk.path, `${kill}`]);
      let [seen, isOpen] = [0, false];
      const [fillAt, killAt] = [
        kill % 2 === 0 ? 20 + ((kill * 37) % 200) : Infinity,
        60 + ((kill * 61) % 400),
      ];
      for await (const line of child.lines) {
        const [name = '', version = '', end = ''] = line.split(' ');
        if (line === 'open') isOpen = true;
        else if (end === 'begins') model.set(name, new Set([...(model.get(name) ?? [0]), Number(version)]));
        else if (end === 'done') model.set(name, new Set([Number(version)]));
        else if (end === 'STORE_FULL') model.set(name, without(model.get(name), Number(version)));
        const outcome = `${version === '0' ? 'delete' : 'write'} ${end}`;
        // Whoever fills the disk while a compaction has the reserve takes that too (docs/embedded-store.md).
        const isExcused = seen >= fillAt && outcome === 'delete STORE_UNAVAILABLE';
        if (end !== '' && end !== 'begins' && !isExcused) ends.add(outcome);
        seen += 1;
        if (seen === fillAt) {
          child.process.kill('SIGSTOP');
          disk.fill();
          child.process.kill('SIGCONT');
        }
        if (seen === killAt) child.process.kill('SIGKILL');
      }
      expect([kill, isOpen, (await child.ended).stderr]).toEqual([kill, true, '']);
      if (kill % 3 === 0) disk.fill();
      await withStore(disk.path, async (store) => {
        const found = new Map(
          (await store.list(FULL_SCOPE)).map(({ name, value }) => [name, Number(value.split(':')[0])]),
        );
        for (const [name, versions] of model) {
          expect([kill, name, [...versions].includes(found.get(name) ?? 0)]).toEqual([kill, name, true]);
          model.set(name, new Set([found.get(name) ?? 0]));
        }
        const [first] = found.keys();
        if (first !== undefined) {
          expect(await outcome(store.delete(FULL_SCOPE, first))).toBe('done');
          model.set(first, new Set([0]));
        }
      });
      if (kill % 2 === 0) disk.clear();
    }
    // A store that had no space since its reserve was used cannot delete (docs/embedded-store.md): it makes the reserve anew.
    await withStore(disk.path, async (store) => {
      await takesWritesAgain(store);
      expect(reserveBytes()).toBeGreaterThanOrEqual(8 * 1024 * 1024);
    });
    disk.fill();
    await withStore(disk.path, async (store) =>
      deleteAll(
        store,
        (await store.list(FULL_SCOPE)).map(({ name }) => name),
      ),
    );
    disk.clear();
    await withStore(disk.path, takesWritesAgain);
    expect([...ends].sort()).toEqual(['delete done', 'write STORE_FULL', 'write done']);
  }, 600_000);

  it('says that it cannot be made, or opened without its reserve, where there is no space at all', async () => {
    disk = new SmallDisk(32);
    disk.fill();
    expect((await refusal(openStore(disk.path)))?.reason).toBe('UNWRITABLE');
    disk.clear();
    await withStore(disk.path, (store) => writeUntilRefused(store, 3));
    rmSync(join(disk.path, 'vault.reserve'));
    disk.fill();
    expect((await refusal(openStore(disk.path)))?.reason).toBe('UNWRITABLE');
    disk.clear();
    await withStore(disk.path, async (store) => expect(await store.list(FULL_SCOPE)).toHaveLength(3));
  });
});

function without(versions: ReadonlySet<number> | undefined, version: number): ReadonlySet<number> {
  return new Set([...(versions ?? [0])].filter((one) => one !== version));
}
