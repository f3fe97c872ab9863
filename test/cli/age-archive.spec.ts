import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ArchiveKeys, ArchiveReaders } from '../../src/cli/files/age-archive';
import { describeWith } from '../support/describe-with';

/** Made by age 1.1.1 itself. */
const FIXTURES = join(__dirname, '../fixtures/age');
const fixture = (name: string) => readFileSync(join(FIXTURES, name));
const [recipient = '', identity = ''] = fixture('identity.txt').toString().match(/age1\w+|AGE-SECRET-KEY-\w+/g) ?? []; // prettier-ignore
const OTHER = 'AGE-SECRET-KEY-16S4LDGM8UH289LKXJUEVECDCTJC5596L4K93SH3HRZJ4F5F284ZQCF3Y2R';
const PASSPHRASE = 'correct horse';
const TEXT = '{"A":"café\\n#1","__proto__":""}';
const LONG = TEXT.repeat(5_000);

type Asked =
  | { readonly encrypt: string; readonly readers: ArchiveReaders; readonly armored?: boolean }
  | { readonly decrypt: Buffer; readonly keys?: ArchiveKeys };
interface Outcome {
  readonly archive?: string;
  readonly needsPassphrase?: boolean;
  readonly text?: string;
  readonly exitCode?: number;
  readonly message?: string;
}

function outcomesOf(...asked: readonly Asked[]): readonly Outcome[] {
  const input = JSON.stringify(
    asked.map((one) => ('decrypt' in one ? { ...one, decrypt: one.decrypt.toString('base64') } : one)),
  );
  return JSON.parse(execFileSync(process.execPath, [join(__dirname, 'age-worker.mjs')], { input, encoding: 'utf8' })) as Outcome[]; // prettier-ignore
}
const bytesOf = ({ archive = '' }: Outcome = {}) => Buffer.from(archive, 'base64');
/** Passphrases are costly, so that one that cannot open it has been made cheap. */
const withWorkFactor = (factor: number) => {
  const base64 = fixture('passphrase.age')
    .toString()
    .replace(/-----.*-----/g, '');
  const text = Buffer.from(base64, 'base64').toString('latin1');
  return Buffer.from(text.replace(/(-> scrypt \S+) 18/, `$1 ${factor}`), 'latin1');
};

describe('an archive', () => {
  const readers = { recipients: [recipient, recipient] };
  const [asBytes, asText] = outcomesOf(
    { encrypt: LONG, readers },
    { encrypt: LONG, readers, armored: true },
  ).map(bytesOf);

  it('that age made is opened, by one of several identities or a passphrase', () => {
    expect(
      outcomesOf(
        { decrypt: fixture('recipient.age'), keys: { identities: [OTHER, identity] } },
        { decrypt: fixture('passphrase.age'), keys: { passphrase: PASSPHRASE } },
      ),
    ).toEqual([
      { needsPassphrase: false, text: TEXT },
      { needsPassphrase: true, text: TEXT },
    ]);
  });

  it('that was made here is opened, as bytes and as text', () => {
    const [bytes = Buffer.of(), text = Buffer.of()] = [asBytes, asText];
    expect(text.toString()).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----\n/);
    const keys = { identities: [identity] };
    const opened = outcomesOf({ decrypt: bytes, keys }, { decrypt: text, keys });
    expect(opened.map((one) => one.text === LONG)).toEqual([true, true]);
  });

  it('is refused to others, where it is damaged or none, and where a key is none, which is not repeated', () => {
    const archive = asBytes ?? Buffer.of();
    const damaged = Buffer.from(archive);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
    const keys = { identities: [identity] };
    const outcomes = outcomesOf(
      { decrypt: archive, keys: { identities: [OTHER] } },
      { decrypt: withWorkFactor(2), keys: { passphrase: PASSPHRASE } },
      { decrypt: damaged, keys },
      { decrypt: archive.subarray(0, -20), keys },
      { decrypt: Buffer.from(TEXT), keys },
      { decrypt: Buffer.alloc(0), keys },
      { decrypt: Buffer.from('-----BEGIN AGE ENCRYPTED FILE-----\nx'), keys },
      { encrypt: TEXT, readers: { recipients: [identity] } },
      { decrypt: archive, keys: { identities: [`${identity}A`] } },
    );
    expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([1, 1, 3, 3, 3, 3, 3, 2, 2]);
    expect(JSON.stringify(outcomes)).not.toContain('SECRET-KEY-1');
  });

  it('costs its reader no more than age allows, whatever it says', () => {
    const [outcome] = outcomesOf({ decrypt: withWorkFactor(30), keys: { passphrase: PASSPHRASE } });
    expect(outcome).toMatchObject({ exitCode: 3 });
  });

  describeWith('age', 'and the program age', () => {
    it('opens what was made here', () => {
      const dir = mkdtempSync(join(tmpdir(), 'age-'));
      writeFileSync(join(dir, 'a.age'), asBytes ?? '');
      const { stdout } = spawnSync('age', ['-d', '-i', join(FIXTURES, 'identity.txt'), join(dir, 'a.age')]);
      rmSync(dir, { recursive: true });
      expect(stdout.toString() === LONG).toBe(true);
    });
  });
});
