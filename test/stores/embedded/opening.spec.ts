import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { itWith } from '../../support/describe-with';
import { buildChildren } from './child-process';
import { at, freshFolder, masterKeyOf, openStore, refusal, withRecords, withStore } from './vault-under-test';

const SCOPE = at('alice', 'ws');
const META = Buffer.from([1]);

describe('Opening the embedded store', () => {
  let folder: ReturnType<typeof freshFolder>;
  let dataDir: string;
  let vault: string;
  beforeEach(() => {
    folder = freshFolder();
    dataDir = join(folder.path, 'data');
    vault = join(dataDir, 'vault');
  });
  afterEach(() => folder.remove());

  async function filled(): Promise<void> {
    await withStore(dataDir, async (store) => store.create(SCOPE, { name: 'k', value: 'v' }));
  }

  it('makes the missing folders, for its own user only', async () => {
    dataDir = join(folder.path, 'missing', 'data');
    await filled();
    for (const path of [join(folder.path, 'missing'), dataDir, join(dataDir, 'vault')]) {
      expect((statSync(path).mode & 0o777).toString(8)).toBe('700');
    }
    expect(readdirSync(dataDir)).toEqual(['vault', 'vault.reserve']);
  });

  it('takes an empty folder, and leaves other files of the data folder alone', async () => {
    mkdirSync(vault, { recursive: true });
    writeFileSync(join(dataDir, 'notes.txt'), 'mine');
    await filled();
    expect(readdirSync(dataDir)).toEqual(['notes.txt', 'vault', 'vault.reserve']);
  });

  it('refuses another master key, and leaves everything as it was', async () => {
    await filled();
    const refused = await refusal(openStore(dataDir, masterKeyOf('B')));
    expect(refused?.reason).toBe('WRONG_MASTER_KEY');
    expect(refused?.message).toBe(`The embedded store is encrypted under another master key (${dataDir}).`);
    expect(refused?.cause).toBeUndefined();
    await withStore(dataDir, async (store) => {
      expect(await store.list(SCOPE)).toEqual([{ name: 'k', value: 'v' }]);
    });
  });

  it.each([0, 1, 31])('refuses a master key of %d bytes', async (bytes) => {
    expect((await refusal(openStore(dataDir, new Uint8Array(bytes).fill(7))))?.message).toBe(
      `The master key is shorter than 32 bytes (it has ${bytes} bytes).`,
    );
  });

  it('takes a master key of any greater length, all of which counts, and does not need it afterwards', async () => {
    const long = new Uint8Array(100).fill(7);
    const store = await openStore(dataDir, long);
    long.fill(0);
    await store.create(SCOPE, { name: 'k', value: 'v' });
    await store.close();
    const almost = new Uint8Array(100).fill(7);
    almost[99] = 8;
    expect((await refusal(openStore(dataDir, almost)))?.reason).toBe('WRONG_MASTER_KEY');
    expect(await refusal(openStore(dataDir, new Uint8Array(100).fill(7)))).toBeUndefined();
  });

  it('refuses a folder with other files', async () => {
    mkdirSync(vault, { recursive: true });
    writeFileSync(join(vault, 'holiday.jpg'), 'x');
    const refused = await refusal(openStore(dataDir));
    expect(refused?.reason).toBe('FOREIGN');
    expect(readdirSync(vault)).toEqual(['holiday.jpg']);
  });

  it.each([false, true])(
    'refuses a LevelDB database of somebody else (compressed: %s)',
    async (compression) => {
      mkdirSync(dataDir);
      const foreign = new ClassicLevel(vault, { compression });
      for (let n = 0; n < 100; n++) await foreign.put(`key ${n}`, 'value '.repeat(100));
      await foreign.compactRange('', '~');
      await foreign.put('one more', 'in the log');
      await foreign.close();
      expect((await refusal(openStore(dataDir)))?.reason).toBe('FOREIGN');
      await foreign.open();
      expect(await foreign.get('key 99')).toBe('value '.repeat(100));
      await foreign.close();
    },
  );

  it('refuses a meta record of another format version, of another service, and a damaged one', async () => {
    await filled();
    const meta = await withRecords(dataDir, async (records) => (await records.get(META))!);
    const checked = (body: Buffer) => Buffer.concat([body, createHash('sha256').update(body).digest()]);
    const body = meta.subarray(0, -32);
    const older = Buffer.from(body);
    older.writeUInt16BE(1, 8);
    const alien = Buffer.from(body);
    alien.write('ALIEN');
    const flipped = Buffer.from(meta);
    flipped[60]! ^= 1;
    const cases: [Buffer, string][] = [
      [checked(older), 'UNSUPPORTED_VERSION'],
      [checked(Buffer.concat([older, Buffer.alloc(9)])), 'UNSUPPORTED_VERSION'],
      [checked(alien), 'FOREIGN'],
      [checked(body.subarray(0, -1)), 'DAMAGED'],
      [flipped, 'DAMAGED'],
      [meta.subarray(0, 40), 'DAMAGED'],
      [Buffer.alloc(0), 'DAMAGED'],
    ];
    for (const [record, reason] of cases) {
      await withRecords(dataDir, (records) => records.put(META, record));
      expect((await refusal(openStore(dataDir)))?.reason).toBe(reason);
    }
    await withRecords(dataDir, (records) => records.put(META, meta));
    expect(await refusal(openStore(dataDir))).toBeUndefined();
    await withRecords(dataDir, (records) => records.del(META));
    expect((await refusal(openStore(dataDir)))?.reason).toBe('FOREIGN');
  });

  it('refuses a folder that cannot be made', async () => {
    writeFileSync(join(folder.path, 'file'), '');
    const below = await refusal(openStore(join(folder.path, 'file', 'data')));
    expect(below?.message).toBe(
      `The folder of the embedded store cannot be written (${join(folder.path, 'file', 'data', 'vault')}: ENOTDIR).`,
    );
    mkdirSync(dataDir);
    writeFileSync(vault, '');
    expect((await refusal(openStore(dataDir)))?.reason).toBe('UNWRITABLE');
    symlinkSync(join(folder.path, 'unmounted'), join(folder.path, 'dangling'));
    expect((await refusal(openStore(join(folder.path, 'dangling', 'data'))))?.reason).toBe('UNWRITABLE');
    // Nobody can make a folder here, root included.
    expect((await refusal(openStore('/proc/data')))?.reason).toBe('UNWRITABLE');
  });

  itWith('root', 'refuses a database in a folder of another user, new or old', async () => {
    await filled();
    const build = buildChildren();
    try {
      const asNobody = async (path: string) => {
        const child = build.start('test/stores/embedded/store-child.js', ['hold', path, '65534']);
        const { value } = await child.lines.next();
        child.process.kill('SIGKILL');
        return String(value);
      };
      const sentence = (path: string) =>
        `EmbeddedStoreUnusable: The folder of the embedded store cannot be written (${path}: EACCES).`;
      chmodSync(folder.path, 0o755);
      expect(await asNobody(join(folder.path, 'other'))).toBe(sentence(join(folder.path, 'other')));
      expect(await asNobody(dataDir)).toBe(sentence(vault));
      for (const path of [dataDir, vault]) chmodSync(path, 0o755);
      expect(await asNobody(dataDir)).toBe(sentence(vault));
      // The folder is theirs, the files are not.
      for (const path of [dataDir, vault]) chownSync(path, 65534, 65534);
      for (const name of readdirSync(vault)) chmodSync(join(vault, name), 0o600);
      expect(await asNobody(dataDir)).toMatch(/^EmbeddedStoreUnusable: .* cannot be written \(.*EACCES\)\.$/);
    } finally {
      build.remove();
    }
  });

  it('opens a copy of the files: a backup', async () => {
    await filled();
    const copy = join(folder.path, 'copy');
    mkdirSync(join(copy, 'vault'), { recursive: true });
    for (const name of readdirSync(vault)) copyFileSync(join(vault, name), join(copy, 'vault', name));
    await withStore(copy, async (store) => {
      expect(await store.list(SCOPE)).toEqual([{ name: 'k', value: 'v' }]);
    });
  });
});
