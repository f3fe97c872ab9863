import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rotateMasterKey } from '../../../src/stores/embedded/vault/vault';
import { META_RECORD_KEY, WORKSPACE_RECORDS } from '../../../src/stores/embedded/records';
import { buildChildren, type Build } from './child-process';
import {
  at,
  filesBelow,
  freshFolder,
  masterKeyOf,
  openStore,
  refusal,
  withRecords,
  withStore,
} from './vault-under-test';

const [A, B, C] = ['A', 'B', 'C'].map(masterKeyOf) as [Uint8Array, Uint8Array, Uint8Array];
/** So many that a rotation takes several blocks of the log. */
const SCOPES = Array.from({ length: 400 }, (_, n) => at(`user${n % 7}`, `ws${n}`));

describe('Rotating the master key', () => {
  let folder: ReturnType<typeof freshFolder>;
  let build: Build;
  const pristine = freshFolder();
  beforeAll(async () => {
    build = buildChildren();
    await withStore(pristine.path, async (store) => {
      await Promise.all(SCOPES.map((scope) => store.create(scope, { name: 'k', value: scope.workspace })));
    });
  });
  afterAll(() => {
    build.remove();
    pristine.remove();
  });
  beforeEach(() => {
    folder = freshFolder();
    cpSync(pristine.path, folder.path, { recursive: true });
  });
  afterEach(() => folder.remove());

  async function expectAllUnder(masterKey: Uint8Array): Promise<void> {
    await withStore(
      folder.path,
      async (store) => {
        const lists = await Promise.all(SCOPES.map((scope) => store.list(scope)));
        expect(lists).toEqual(SCOPES.map(({ workspace }) => [{ name: 'k', value: workspace }]));
      },
      masterKey,
    );
  }

  const rotation = (masterKey: Uint8Array, newMasterKey: Uint8Array) =>
    rotateMasterKey({ dataDir: folder.path, masterKey, newMasterKey });

  /** What a rotation was refused for; its store is closed either way. */
  const refusedRotation = (masterKey: Uint8Array, newMasterKey: Uint8Array) =>
    refusal(rotation(masterKey, newMasterKey).then(() => ({ close: async () => undefined })));

  it('keeps every secret under the new key, and the old key opens nothing', async () => {
    expect(await rotation(A, B)).toBe('rotated');
    await expectAllUnder(B);
    expect((await refusal(openStore(folder.path, A)))?.reason).toBe('WRONG_MASTER_KEY');
    expect(await rotation(B, C)).toBe('rotated');
    await expectAllUnder(C);
  });

  it('succeeds again when it is run again', async () => {
    await rotation(A, B);
    expect(await rotation(A, B)).toBe('already-rotated');
    await expectAllUnder(B);
  });

  it('leaves nothing in the files that the old key unwraps', async () => {
    const wrapped = await withRecords(folder.path, async (records) => [
      (await records.get(META_RECORD_KEY))!,
      ...(await records.values(WORKSPACE_RECORDS).all()),
    ]);
    expect(wrapped).toHaveLength(401);
    const present = () => {
      const files = [...filesBelow(folder.path).values()];
      return wrapped.filter((record) => files.some((file) => file.includes(record))).length;
    };
    expect(present()).toBe(401);
    await rotation(A, B);
    expect(present()).toBe(0);
    await expectAllUnder(B);
  });

  it('changes nothing when it is refused', async () => {
    expect((await refusedRotation(C, B))?.message).toBe(
      'The embedded store is encrypted under another master key ' +
        `(${folder.path}: neither the old nor the new key opens it).`,
    );
    expect((await refusedRotation(A, new Uint8Array(31)))?.reason).toBe('WEAK_MASTER_KEY');
    await withRecords(folder.path, async (records) => {
      const [[key, value]] = (await records.iterator(WORKSPACE_RECORDS).all()) as [[Buffer, Buffer]];
      const damaged = Buffer.from(value);
      damaged[0]! ^= 1;
      await records.put(key, damaged);
    });
    expect((await refusedRotation(A, B))?.reason).toBe('DAMAGED');
    expect(await refusal(openStore(folder.path, A))).toBeUndefined();
    const store = await openStore(folder.path, A);
    expect((await refusedRotation(A, B))?.reason).toBe('IN_USE');
    await store.close();
    const empty = join(folder.path, 'empty');
    expect(
      (
        await refusal(
          rotateMasterKey({ dataDir: empty, masterKey: A, newMasterKey: B }).then(() => openStore('/')),
        )
      )?.reason,
    ).toBe('ABSENT');
  });

  it('leaves the store under exactly one of the keys whenever it is killed', async () => {
    const openedBy: string[] = [];
    for (const killAfter of [1, 2, 3, 4, 5, 7]) {
      if (openedBy.at(-1) === 'B') await rotation(B, A);
      const child = build.start('test/stores/embedded/store-child.js', ['rotate', folder.path]);
      let seen = 0;
      for await (const line of child.lines) {
        expect(line).toMatch(/^rotating \d+$/);
        // A little later than the word: in the middle of the work, at another point each time.
        if (++seen === killAfter) setTimeout(() => child.process.kill('SIGKILL'), killAfter * 2);
      }
      await child.ended;
      const opens = [];
      for (const [letter, key] of [
        ['A', A],
        ['B', B],
      ] as const) {
        const refused = await refusal(openStore(folder.path, key));
        if (refused === undefined) opens.push(letter);
        else expect(refused.reason).toBe('WRONG_MASTER_KEY');
      }
      expect(opens).toHaveLength(1);
      openedBy.push(opens[0]!);
      await expectAllUnder(opens[0] === 'A' ? A : B);
    }
  });

  describe('by the command', () => {
    const files = () => {
      const keys = join(folder.path, 'keys');
      mkdirSync(keys, { recursive: true });
      writeFileSync(join(keys, 'old'), A);
      writeFileSync(join(keys, 'new'), B);
      writeFileSync(join(keys, 'other'), C);
      return { old: join(keys, 'old'), new: join(keys, 'new'), other: join(keys, 'other') };
    };
    async function run(env: Record<string, string>) {
      const child = build.start('src/cli/rotate-master-key.js', [], { env });
      const lines: string[] = [];
      for await (const line of child.lines) lines.push(line);
      const { code, stderr } = await child.ended;
      return { code, stdout: lines.join('\n'), stderr };
    }

    it('says what it did, and the same again when it is run again', async () => {
      const keys = files();
      const env = { DATA_DIR: folder.path, MASTER_KEY_FILE: keys.old, NEW_MASTER_KEY_FILE: keys.new };
      expect(await run(env)).toEqual({
        code: 0,
        stdout: 'The master key was rotated: start the service with the new key, and make a new backup.',
        stderr: '',
      });
      expect(await run(env)).toEqual({
        code: 0,
        stdout: 'The embedded store is already under the new master key.',
        stderr: '',
      });
      await expectAllUnder(B);
    });

    it('says in one sentence why it failed, and exits with 1', async () => {
      const keys = files();
      const env = { DATA_DIR: folder.path, MASTER_KEY_FILE: keys.other, NEW_MASTER_KEY_FILE: keys.new };
      const store = await openStore(folder.path);
      expect(await run(env)).toEqual({
        code: 1,
        stdout: '',
        stderr:
          'The rotation failed: The embedded store is in use by another process ' +
          `(${join(folder.path, 'vault')}). Stop the service first.\n`,
      });
      await store.close();
      const wrong = await run(env);
      expect(wrong).toMatchObject({ code: 1, stdout: '' });
      expect(wrong.stderr).toMatch(/^The rotation failed: .* another master key .*\n$/);
      expect(await run({ ...env, MASTER_KEY_FILE: '' })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('MASTER_KEY_FILE is not set'),
      });
      const missing = await run({ ...env, MASTER_KEY_FILE: join(folder.path, 'nowhere') });
      expect(missing.stderr).toContain('(ENOENT)');
      await expectAllUnder(A);
    });
  });
});
