import type { StoreClient } from '../../support/store-client';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../../../src/errors/domain-error';
import type { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { logRecords } from '../../../src/stores/embedded/leveldb-files/log-records';
import { at, freshFolder, openStore, refusal, withStore } from './vault-under-test';

/** In the order of writing. The first half ends up in a table, the second in the log, over several blocks of it. */
const SECRETS = Array.from({ length: 16 }, (_, n) => ({
  scope: at('alice', `ws${n % 3}`),
  secret: { name: `k${n}`, value: `v${n}:`.repeat(1 + ((n * 977) % 5000)) },
}));

type Found = 'intact' | 'missing' | 'refused';

/** Whatever was damaged: never another value. */
async function finds(store: StoreClient<EmbeddedSecretStore>): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { scope, secret } of SECRETS) {
    try {
      expect((await store.retrieve(scope, secret.name)).value === secret.value).toBe(true);
      found.push('intact');
    } catch (error: unknown) {
      if (!(error instanceof DomainError)) throw error;
      found.push(error.reason === 'SECRET_NOT_FOUND' ? 'missing' : 'refused');
    }
  }
  return found;
}

describe('A damaged file of the embedded store', () => {
  const folder = freshFolder();
  const pristine = join(folder.path, 'pristine');
  const damaged = join(folder.path, 'damaged');
  const vault = join(damaged, 'vault');

  beforeAll(async () => {
    for (const half of [SECRETS.slice(0, 8), SECRETS.slice(8)]) {
      await withStore(pristine, async (store) => {
        for (const { scope, secret } of half) await store.create(scope, secret);
      });
    }
  });
  beforeEach(() => restore());
  afterAll(() => folder.remove());

  function restore(): void {
    rmSync(damaged, { recursive: true, force: true });
    cpSync(pristine, damaged, { recursive: true });
  }

  function fileLike(pattern: RegExp): string {
    const names = readdirSync(vault).filter(
      (name) => pattern.test(name) && readFileSync(join(vault, name)).length,
    );
    expect(names.length).toBeGreaterThan(0);
    return join(vault, names.at(-1)!);
  }

  /** What is there after an opening, or the reason why it was refused. */
  async function opened(): Promise<readonly Found[] | string> {
    const refused = await refusal(openStore(damaged));
    if (refused !== undefined) {
      expect(refused.message).toMatch(/^The embedded store is damaged; restore a backup \(.+\)\.$/);
      return refused.reason;
    }
    return withStore(damaged, finds);
  }

  it('is nothing to worry about when it is only a note', async () => {
    for (const name of ['LOG', 'LOG.old', 'LOCK']) writeFileSync(join(vault, name), 'garbage');
    expect(new Set(await opened())).toEqual(new Set(['intact']));
  });

  it.each(['CURRENT', 'MANIFEST-\\d+', '\\d+\\.ldb', '\\d+\\.log'])(
    'stops the start when a byte of %s is wrong, and stays as it is',
    async (pattern) => {
      const file = fileLike(new RegExp(`^${pattern}$`));
      const whole = readFileSync(file);
      const step = Math.max(1, Math.floor(whole.length / 40));
      const positions = new Set(
        Array.from({ length: whole.length }, (_, at) => at).filter((at) => at % step === 0),
      );
      for (let near = 0; near < 12; near++) positions.add(Math.min(near, whole.length - 1));
      for (const position of positions) {
        const wrong = Buffer.from(whole);
        wrong[position]! ^= 1 << (position % 8);
        writeFileSync(file, wrong);
        const result = await opened();
        if (result === 'DAMAGED') {
          expect(readFileSync(file).equals(wrong)).toBe(true);
        } else {
          // The unused room at the end of a table is all that is not covered.
          expect(file).toMatch(/\.ldb$/);
          expect(position).toBeGreaterThanOrEqual(whole.length - 48);
          expect([position, new Set(result)]).toEqual([position, new Set(['intact'])]);
        }
        restore();
      }
    },
  );

  it.each(['CURRENT', 'MANIFEST-\\d+', '\\d+\\.ldb', '\\d+\\.log'])(
    'stops the start when %s is missing',
    async (pattern) => {
      rmSync(fileLike(new RegExp(`^${pattern}$`)));
      const left = readdirSync(vault);
      expect(await opened()).toBe('DAMAGED');
      expect(readdirSync(vault)).toEqual(left);
    },
  );

  it.each(['CURRENT', 'MANIFEST-\\d+', '\\d+\\.ldb'])(
    'stops the start when %s is cut off anywhere',
    async (pattern) => {
      const file = fileLike(new RegExp(`^${pattern}$`));
      const { length } = readFileSync(file);
      for (const left of [0, 1, 7, 0.25, 0.5, 0.75, length - 30, length - 1]) {
        truncateSync(file, left > 0 && left < 1 ? Math.floor(length * left) : Math.max(0, left));
        expect([left, await opened()]).toEqual([left, 'DAMAGED']);
        restore();
      }
    },
  );

  it('gives the state of an earlier write when its log is cut off, as a kill leaves it', async () => {
    const file = fileLike(/^\d+\.log$/);
    const { length } = readFileSync(file);
    const kept = new Set<number>();
    for (let part = 0; part < 16; part++) {
      truncateSync(file, Math.floor((length * part) / 16));
      const found = await opened();
      expect(found).not.toBe('DAMAGED');
      const intact = [...found].lastIndexOf('intact') + 1;
      expect(found).toEqual(SECRETS.map((_, n) => (n < intact ? 'intact' : 'missing')));
      kept.add(intact);
      restore();
    }
    expect(kept.size).toBeGreaterThan(3);
  });

  it('is found wherever a byte of the log is wrong, but for the length of the last record', async () => {
    const small = join(folder.path, 'small');
    await withStore(small, async (store) => {
      for (const { scope, secret } of SECRETS.slice(0, 5)) {
        await store.create(scope, { ...secret, value: 'short' });
      }
    });
    const logs = readdirSync(join(small, 'vault')).filter((name) => name.endsWith('.log'));
    const whole = readFileSync(join(small, 'vault', logs.at(-1)!));
    const records = [...logRecords(whole)];
    expect(records).toHaveLength(5);
    const lastAt = whole.length - records.at(-1)!.length - 7;
    for (let position = 0; position < whole.length; position++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = Buffer.from(whole);
        wrong[position]! ^= 1 << bit;
        let left: number | 'damaged';
        try {
          left = [...logRecords(wrong)].length;
        } catch {
          left = 'damaged';
        }
        const isLastLength = position === lastAt + 4 || position === lastAt + 5;
        expect(isLastLength ? ['damaged', 4] : ['damaged']).toContain(left);
      }
    }
  });
});
