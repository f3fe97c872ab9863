import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { outcome } from '../../conformance/secret-store.conformance';
import { buildChildren, type Build, type Child } from './child-process';
import { at, freshFolder, openStore, refusal, withStore } from './vault-under-test';

const SCOPE = at('alice', 'ws');
const NAMES = ['k0', 'k1', 'k2', 'k3'];
/** As store-child.ts makes them. */
const versioned = (version: number) => `${version}:${String(version % 10).repeat(40_000)}:${version}`;

const NO_MORE = 'no more lines';
async function nextLine(child: Child): Promise<string> {
  const { value } = await child.lines.next();
  return typeof value === 'string' ? value : NO_MORE;
}

describe('The embedded store', () => {
  let folder: ReturnType<typeof freshFolder>;
  let build: Build;
  beforeAll(() => {
    build = buildChildren();
  });
  afterAll(() => build.remove());
  beforeEach(() => {
    folder = freshFolder();
  });
  afterEach(() => folder.remove());

  it('keeps everything over a reopening', async () => {
    const scopes = [at('alice', 'ws'), at('alice', 'ws', 'dev'), at('bob', 'ws'), at('bob', 'other')];
    await withStore(folder.path, async (store) => {
      for (const scope of scopes) {
        for (const name of NAMES) await store.create(scope, { name, value: JSON.stringify([scope, name]) });
      }
      await store.delete(SCOPE, 'k0');
      await store.update(SCOPE, { name: 'k1', value: '' });
    });
    for (let turn = 0; turn < 3; turn++) {
      await withStore(folder.path, async (store) => {
        expect(await store.list(SCOPE)).toEqual([
          { name: 'k1', value: '' },
          { name: 'k2', value: JSON.stringify([SCOPE, 'k2']) },
          { name: 'k3', value: JSON.stringify([SCOPE, 'k3']) },
        ]);
        for (const scope of scopes.slice(1)) {
          expect(await store.list(scope)).toEqual(
            NAMES.map((name) => ({ name, value: JSON.stringify([scope, name]) })),
          );
        }
      });
    }
  });

  it('loses no acknowledged write to a kill, and shows no half one', async () => {
    await withStore(folder.path, async (store) => {
      for (const name of NAMES) await store.create(SCOPE, { name, value: versioned(0) });
    });
    const acknowledged = new Map(NAMES.map((name) => [name, 0]));
    for (const killAfter of [1, 7, 30, 61, 130]) {
      const child = build.start('test/stores/embedded/store-child.js', ['write', folder.path]);
      let seen = 0;
      for await (const line of child.lines) {
        const [name = '', version] = line.split(' ');
        acknowledged.set(name, Number(version));
        // What was said after the kill was asked for still counts: the rest of the pipe is read.
        if (++seen === killAfter) child.process.kill('SIGKILL');
      }
      expect((await child.ended).signal).toBe('SIGKILL');
      await withStore(folder.path, async (store) => {
        for (const { name, value } of await store.list(SCOPE)) {
          const version = Number(value.split(':')[0]);
          expect(value === versioned(version)).toBe(true);
          // The write after the last acknowledged one may have reached the disk too.
          expect([0, 1]).toContain(version - acknowledged.get(name)!);
          acknowledged.set(name, version);
        }
      });
    }
    expect([...acknowledged.keys()]).toEqual(NAMES);
  });

  it('opens after a kill at any step of making it, and removes what that left', async () => {
    let made = NO_MORE;
    let leftovers = 0;
    let steps = 0;
    for (; made === NO_MORE; steps++) {
      const dataDir = join(folder.path, `${steps}`);
      const child = build.start('test/stores/embedded/store-child.js', ['make', dataDir, `${steps}`]);
      made = await nextLine(child);
      await child.ended;
      const left = existsSync(dataDir) ? readdirSync(dataDir) : [];
      leftovers += left.filter((name) => name !== 'vault').length;
      await withStore(dataDir, async (store) => {
        expect([steps, await store.list(SCOPE)]).toEqual([steps, []]);
      });
      expect(readdirSync(dataDir)).toEqual(['vault', 'vault.reserve']);
    }
    expect(made).toBe(`made in ${steps - 1} steps`);
    expect(steps).toBeGreaterThan(6);
    expect(leftovers).toBeGreaterThan(3);
  });

  it('refuses a second process, and opens when the first was killed', async () => {
    const child = build.start('test/stores/embedded/store-child.js', ['hold', folder.path]);
    expect(await nextLine(child)).toBe('open');
    const second = await refusal(openStore(folder.path));
    expect(second?.reason).toBe('IN_USE');
    expect(second?.message).toBe(
      `The embedded store is in use by another process (${join(folder.path, 'vault')}).`,
    );
    child.process.kill('SIGKILL');
    await child.ended;
    expect(await refusal(openStore(folder.path))).toBeUndefined();
  });

  it('acknowledges nothing more once a write failed on a full disk, and keeps what it acknowledged', async () => {
    await withStore(folder.path, async (store) => store.create(SCOPE, { name: 'before', value: 'v' }));
    const child = build.start('test/stores/embedded/store-child.js', ['fill', folder.path], {
      fileBlocks: 800,
    });
    const lines: string[] = [];
    for await (const line of child.lines) lines.push(line);
    const created = lines.filter((line) => line.endsWith(' done') && line.startsWith('create')).length;
    expect(created).toBeGreaterThan(3);
    expect(lines.slice(created)).toEqual([
      `create ${created} STORE_OUTCOME_UNKNOWN`,
      `create ${created + 1} STORE_UNAVAILABLE`,
      'retrieve done',
      'ping STORE_UNAVAILABLE',
      'close done',
    ]);
    await withStore(folder.path, async (store) => {
      for (let n = 0; n < created; n++) {
        expect((await store.retrieve(SCOPE, `n${n}`)).value === versioned(n)).toBe(true);
      }
      expect(await outcome(store.retrieve(SCOPE, `n${created + 1}`))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.create(SCOPE, { name: 'after', value: 'v' }))).toBe('done');
    });
  });

  it('takes no new call while close waits for the old ones', async () => {
    const store = await openStore(folder.path);
    const early = outcome(store.create(SCOPE, { name: 'early', value: 'v' }));
    const closing = store.close();
    const late = [store.create(SCOPE, { name: 'late', value: 'v' }), store.list(SCOPE)].map(outcome);
    expect([await early, ...(await Promise.all(late))]).toEqual([
      'done',
      'STORE_UNAVAILABLE',
      'STORE_UNAVAILABLE',
    ]);
    await closing;
    await withStore(folder.path, async (reopened) => {
      expect(await reopened.list(SCOPE)).toEqual([{ name: 'early', value: 'v' }]);
    });
  });

  it('waits on close for the calls under way, closes twice, and answers 503 afterwards', async () => {
    const store = await openStore(folder.path);
    const writes = Array.from({ length: 20 }, (_, n) =>
      outcome(store.create(at('alice', `ws${n % 3}`), { name: `n${n}`, value: 'v' })),
    );
    await Promise.all([store.close(), store.close()]);
    expect(new Set(await Promise.all(writes))).toEqual(new Set(['done']));
    await store.close();
    const after = [
      store.create(SCOPE, { name: 'n', value: 'v' }),
      store.retrieve(SCOPE, 'n'),
      store.update(SCOPE, { name: 'n', value: 'v' }),
      store.delete(SCOPE, 'n'),
      store.list(SCOPE),
      store.ping(),
    ];
    expect(await Promise.all(after.map(outcome))).toEqual(after.map(() => 'STORE_UNAVAILABLE'));
    await withStore(folder.path, async (reopened) => {
      const kept = await Promise.all([0, 1, 2].map((n) => reopened.list(at('alice', `ws${n}`))));
      expect(kept.flat()).toHaveLength(20);
    });
  });
});
