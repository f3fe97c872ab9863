import fc from '../../support/fast-check';
import { MAX_VALUE_BYTES, UNATTENDED } from '../../../src/secrets/secret';
import { decodeValue, encodeValue, UnreadableValue } from '../../../src/stores/infisical/secret-codec';
import { ODD_VALUES, outcome } from '../../conformance/secret-store.conformance';
import { trimmedValue } from '../../support/fake-infisical/fake-validation';
import { at, openStore, rowsOf } from './opened-store';

const BODY_LIMIT_BYTES = 1_048_576;

/** Any well-formed text, and more often than chance would have it, what servers and this codec treat specially. */
const anyValue = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        ' ', '\t', '\n', '\r\n', '\r', '\u00a0', '\ufeff', '\u2028', '\u2029', '\u0085', '\u200b', '\0', '${', '}', '${A.B}',
        'osp:', 'osp:v1:', 'osp:v1:b64:', 'osp:v2:b64:', 'b3Nw', '******', '<hidden-by-infisical>', '"', '\\', '🚀',
      ), // prettier-ignore
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

describe('the form in which Infisical holds a value', () => {
  it('gives back every well-formed text', () => {
    fc.assert(
      fc.property(anyValue, (value) => decodeValue(encodeValue(value)) === value),
      { numRuns: 3000 },
    );
  });

  it('is left alone by trimming, expansion, hiding and line ends, and fits a request', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const stored = encodeValue(value);
        return (
          trimmedValue(stored) === stored &&
          !/\$\{|\r|\0|^\*{6,}$|^<hidden-by-infisical>$/.test(stored) &&
          Buffer.byteLength(JSON.stringify(stored)) < BODY_LIMIT_BYTES - 4000
        );
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    'v', '', '\n', 'a\nb\n', '  '.trim(), 'pg://user:p%40ss@host/db', '{"a": [1]}', 'päss wörd', '日本 🚀', '$HOME', 'a$b{c}',
    'osp:hello', 'osp', '*****', 'x'.repeat(MAX_VALUE_BYTES), '-----BEGIN KEY-----\nMII\n-----END KEY-----\n', 'QUJD', 'a\tb',
  ])('people read an ordinary value as it is: %#', (value) => {
    expect(encodeValue(value) === value).toBe(true);
  }); // prettier-ignore

  it.each([
    ' v', 'v ', 'v\n\n', '\nv', ' v\n', 'a\r\nb', 'v\u00a0', '\ufeffv', 'v\u2028', '\u200bv', '${A}', 'a\0b', '******', '<hidden-by-infisical>',
    'osp:v1:b64:', 'osp:v1:b64:dg==', 'osp:v9:zip:x', '"'.repeat(MAX_VALUE_BYTES), '\u0001'.repeat(MAX_VALUE_BYTES),
  ])('a value that would not come back is escaped: %#', (value) => {
    expect(encodeValue(value).startsWith('osp:v1:b64:')).toBe(true);
    expect(decodeValue(encodeValue(value)) === value).toBe(true);
  }); // prettier-ignore

  it('is what the document says', () => {
    expect(encodeValue(' padded ')).toBe('osp:v1:b64:IHBhZGRlZCA=');
    expect(decodeValue('osp:v1:b64:IHBhZGRlZCA=')).toBe(' padded ');
  });

  it('that looks escaped is escaped again', () => {
    const once = encodeValue(' v');
    expect(decodeValue(encodeValue(once))).toBe(once);
    expect(encodeValue(once)).not.toBe(once);
  });

  it.each([
    'osp:v2:b64:dg==',
    'osp:v1:hex:00',
    'osp:v1:',
    'osp:v1:b64:dg',
    'osp:v1:b64:d g==',
    'osp:v1:b64:/w==',
  ])('is an error and no value when it is marked in a way that this version does not know: %s', (stored) => {
    expect(() => decodeValue(stored)).toThrow(UnreadableValue);
  });
});

// v4 as its documents describe it.
describe.each(['v3', 'fork', 'v4'] as const)(
  'values on a server that trims and expands (%s)',
  (apiVersion) => {
    it('come back byte for byte, whatever they are', async () => {
      const { store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'k', value: 'first' });
      await store.create(at(), { name: 'A', value: 'must never be filled in' });
      const kept = async (value: string) => {
        await store.update(at(), { name: 'k', value });
        return (await store.retrieve(at(), 'k')).value === value;
      };
      await fc.assert(fc.asyncProperty(anyValue, kept), { numRuns: 150, endOnFailure: true });
      for (const value of Object.values(ODD_VALUES)) expect(await kept(value)).toBe(true);
    });

    it('stay readable in the page where they can', async () => {
      const { fake, store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'plain', value: 'pg://host' });
      await store.create(at(), { name: 'padded', value: ' padded ' });
      expect(rowsOf(fake, at())).toEqual([
        ['padded', 'osp:v1:b64:IHBhZGRlZCA='],
        ['plain', 'pg://host'],
      ]);
    });

    it('that a person marked in an unknown way, or that the server hides, are errors of that name only', async () => {
      const { fake, store, logged } = await openStore({ apiVersion });
      await store.create(at(), { name: 'good', value: 'v' });
      const location = fake.world.projects[0]?.environments.find(({ slug }) => slug === 'prod');
      fake.world.addSecret(location!, 'newer', 'osp:v2:zip:AAAA');
      fake.world.addSecret(location!, 'hidden', '<hidden-by-infisical>');
      expect(await outcome(store.retrieve(at(), 'newer'))).toBe('STORE_UNAVAILABLE');
      expect(await outcome(store.retrieve(at(), 'hidden'))).toBe('STORE_UNAVAILABLE');
      expect(await store.retrieve(at(), 'good')).toEqual({ name: 'good', value: 'v' });
      expect(await store.store.list(at(), UNATTENDED)).toEqual({
        secrets: [{ name: 'good', value: 'v' }],
        unreadable: ['hidden', 'newer'],
      });
      for (const [name, hidden] of [
        ['hidden', 'true'],
        ['newer', 'false'],
      ])
        expect(logged).toContainEqual({ event: 'infisical_value_unreadable', fields: { name, hidden } });
      // An update does not care what was there.
      await store.update(at(), { name: 'newer', value: 'mended' });
      await store.delete(at(), 'hidden');
      expect(await store.list(at())).toEqual([
        { name: 'good', value: 'v' },
        { name: 'newer', value: 'mended' },
      ]);
    });
  },
);
