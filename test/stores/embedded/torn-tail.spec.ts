import { spawn } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inspectEmbeddedStore } from '../../../src/stores/embedded/vault/vault-database';
import { logRecords } from '../../../src/stores/embedded/leveldb-files/log-records';
import { at, freshFolder, openStore, refusal, withStore } from './vault-under-test';

const PAGE = 4096;
const scope = at('alice', 'ws');
/** Acknowledged before the power failed. */
const KEPT = ['one', 'two', 'three'].map((name) => ({ name, value: `value of ${name} `.repeat(300) }));
/** Several pages, and several blocks of the log. */
const LAST = { name: 'last', value: 'never acknowledged '.repeat(6_000) };

describe('What a power cut leaves in the last write to the embedded store', () => {
  const folder = freshFolder();
  const [pristine, torn] = [join(folder.path, 'pristine'), join(folder.path, 'torn')];
  const vault = join(torn, 'vault');
  let log: string;
  let whole: Buffer;
  /** Where the last record begins. */
  let lastAt: number;

  beforeAll(async () => {
    await withStore(pristine, async (store) => {
      for (const secret of KEPT) await store.create(scope, secret);
    });
    // A log of its own, with records that were acknowledged before the last one.
    await withStore(pristine, async (store) => {
      await store.create(scope, { name: 'four', value: 'v'.repeat(PAGE) });
      const before = readFileSync(logOf(join(pristine, 'vault'))).length;
      await store.create(scope, LAST);
      lastAt = before;
    });
  });
  beforeEach(() => {
    rmSync(torn, { recursive: true, force: true });
    cpSync(pristine, torn, { recursive: true });
    log = logOf(vault);
    whole = readFileSync(log);
    expect(whole.length - lastAt).toBeGreaterThan(2 * 32 * 1024);
  });
  afterAll(() => folder.remove());

  function logOf(path: string): string {
    const name = readdirSync(path)
      .filter((one) => /^\d+\.log$/.test(one))
      .sort()
      .at(-1);
    return join(path, name!);
  }
  const names = async (): Promise<readonly string[]> =>
    withStore(torn, async (store) => (await store.list(scope)).map(({ name }) => name).sort());
  const ACKNOWLEDGED = ['four', 'one', 'three', 'two'];
  const pageAfter = (offset: number): number => Math.ceil(offset / PAGE) * PAGE;
  const zeroed = (from: number, to: number): Buffer => Buffer.from(whole).fill(0, from, to);
  const aside = () => readdirSync(vault).filter((name) => name.includes('.torn'));

  it.each<[string, () => Buffer]>([
    ['its first page was not written', () => zeroed(lastAt, pageAfter(lastAt + 1))],
    ['its second page was not written', () => zeroed(pageAfter(lastAt + 1), pageAfter(lastAt + 1) + PAGE)],
    [
      'a page in its second block was not written',
      () => zeroed(pageAfter(lastAt + 32 * 1024), pageAfter(lastAt + 32 * 1024) + PAGE),
    ],
    ['its last page was not written', () => zeroed(whole.length - PAGE, whole.length)],
    ['nothing of it was written but its length', () => zeroed(lastAt, whole.length)],
    [
      'a sector of it was not written, and what follows is garbage',
      () => {
        const bytes = zeroed(pageAfter(lastAt + 1), pageAfter(lastAt + 1) + 512);
        return bytes.fill('garbage', bytes.length - PAGE);
      },
    ],
  ])('costs nothing that was acknowledged, and is put aside: %s', async (_what, tear) => {
    const bytes = tear();
    writeFileSync(log, bytes);
    expect(await names()).toEqual(ACKNOWLEDGED);
    // Zeroes to the end are room that LevelDB knows itself; anything else is kept for whoever wants to look.
    const kept = aside();
    if (bytes.subarray(lastAt).some((byte) => byte !== 0)) {
      expect(kept).toHaveLength(1);
      expect(readFileSync(join(vault, kept[0]!)).equals(bytes.subarray(lastAt))).toBe(true);
    } else expect(kept).toEqual([]);
    await withStore(torn, (store) => store.create(scope, LAST));
    expect(await names()).toEqual([...ACKNOWLEDGED, LAST.name].sort());
  });

  it.each<[string, () => Buffer]>([
    ['a page of an earlier record', () => zeroed(lastAt - PAGE, lastAt - PAGE + 1024)],
    ['all of an earlier record', () => zeroed(100, lastAt)],
  ])(
    'is told from damage to what was acknowledged, which stops the start and stays as it is: %s',
    async (_what, tear) => {
      const bytes = tear();
      writeFileSync(log, bytes);
      expect((await refusal(openStore(torn)))?.reason).toBe('DAMAGED');
      expect(await inspectEmbeddedStore(torn, true)).toEqual({
        isWhole: false,
        text: expect.stringMatching(/^\S+\.log: a record does not match its checksum\. Restore a backup\.$/),
      });
      expect(readFileSync(log).equals(bytes)).toBe(true);
      expect(aside()).toEqual([]);
    },
  );

  describe('and cannot be told from a record that has rotted, as a garbage tail', () => {
    const garbage = (): Buffer =>
      Buffer.from(whole).fill('garbage', pageAfter(lastAt) + PAGE, pageAfter(lastAt) + 3 * PAGE);

    it('stops the start with what to do, and stays as it is', async () => {
      writeFileSync(log, garbage());
      const refused = await refusal(openStore(torn));
      expect([refused?.reason, refused?.message]).toEqual([
        'DAMAGED',
        expect.stringContaining('npm run inspect-embedded-store puts it aside'),
      ]);
      expect(readFileSync(log).equals(garbage())).toBe(true);
    });

    it('is shown by the command, which changes nothing until it is told to, and then keeps what it cuts', async () => {
      writeFileSync(log, garbage());
      const shown = await inspectEmbeddedStore(torn, false);
      expect([shown.isWhole, shown.text]).toEqual([
        false,
        expect.stringContaining(`it begins at byte ${lastAt}`),
      ]);
      expect(readFileSync(log).equals(garbage())).toBe(true);
      const cut = await inspectEmbeddedStore(torn, true);
      expect(cut.isWhole).toBe(true);
      expect(cut.text).toContain(`It is in ${log}.torn now.`);
      expect(readFileSync(`${log}.torn`).equals(garbage().subarray(lastAt))).toBe(true);
      expect(await names()).toEqual(ACKNOWLEDGED);
      expect(`${shown.text}${cut.text}`).not.toContain('alice');
    });

    it('is not cut while another process has the store open', async () => {
      // Whoever opens it so has its lock.
      const script = `const { ClassicLevel } = require('classic-level');
        const db = new ClassicLevel(process.argv[1]);
        db.open().then(() => process.stdout.write('open'));
        process.stdin.on('end', () => process.exit()).resume();`;
      const child = spawn(process.execPath, ['-e', script, vault], { cwd: resolve(__dirname, '../../..') });
      await new Promise((opened) => child.stdout.once('data', opened));
      const ended = new Promise((end) => child.once('close', end));
      const current = logOf(vault);
      const held = Buffer.concat([readFileSync(current), Buffer.alloc(40 * 1024, 'garbage')]);
      writeFileSync(current, held);
      const refused = await inspectEmbeddedStore(torn, true).catch((error: unknown) => error);
      expect(refused).toMatchObject({ reason: 'IN_USE' });
      expect(readFileSync(current).equals(held)).toBe(true);
      child.stdin.end();
      await ended;
    });
  });

  it('is found whole by the command where nothing is wrong', async () => {
    expect(await inspectEmbeddedStore(torn, true)).toEqual({
      isWhole: true,
      text: 'Every file of the embedded store is whole.',
    });
    expect([...logRecords(whole)].length).toBeGreaterThan(1);
  });
});
