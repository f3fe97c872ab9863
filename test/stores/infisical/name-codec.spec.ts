import fc from '../../support/fast-check';
import { countedNameLength, isSecretName, MAX_NAME_LENGTH } from '../../../src/secrets/secret';
import { keysOf, nameOfKey, requireHoldableName } from '../../../src/stores/infisical/secret-codec';
import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import { outcome } from '../../conformance/secret-store.conformance';
import { at, openStore, rowsOf } from './opened-store';

/** Any name that a request may have, and more often than chance would have it, what servers and this codec treat specially. */
const anyName = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.constantFrom(
        ':', '/', ' ', '~', '%', '%2F', '~3A', '~2F', '~20', '~7E', '~3a', '.', '..', 'osp.v1.', 'osp.v2.', 'osp:v1:', '__proto__', 'constructor',
        'toString', 'batch', 'move', 'duplicate', 'backfill-secret-references', 'a', 'é', '🚀', '?', '#', '\\', '\u00a0', 'n'.repeat(80),
      ), // prettier-ignore
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => parts.join(''))
  .filter(isSecretName);

const versions = Object.values(API_VERSIONS);

describe('the key under which Infisical holds a name', () => {
  it('gives back the name, on every API version', () => {
    fc.assert(
      fc.property(anyName, (name) =>
        versions.every((version) => keysOf(name, version).every((key) => nameOfKey(key) === name)),
      ),
      { numRuns: 5000 },
    );
  });

  it('is refused by no server where it is the one to create, and fits its path, but for a space or a length that is told', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        try {
          requireHoldableName(name);
        } catch {
          const escapedLength = name.replace(/[ ~]/g, '~XX').length;
          return !/[/:]/.test(name) && escapedLength > MAX_NAME_LENGTH - 'osp.v1.'.length;
        }
        return versions.every((version) => {
          const [key = ''] = keysOf(name, version);
          const isRoute = [...version.routesOfNames, ...version.routesOfNewNames].includes(key);
          return key.length <= MAX_NAME_LENGTH && !/[/:]/.test(key) && !(key in Object.prototype) && !isRoute;
        });
      }),
      { numRuns: 5000 },
    );
  });

  it('is the name itself for every name that earlier releases stored', () => {
    const wasStored = (name: string) => !/[/:]/.test(name) && !(name in Object.prototype);
    const isMistakable = (name: string) => nameOfKey(name) !== name;
    fc.assert(
      fc.property(
        anyName.filter((name) => wasStored(name) && !isMistakable(name)),
        (name) => keysOf(name, API_VERSIONS.fork)[0] === name && keysOf(name, API_VERSIONS.v3)[0] === name,
      ),
      { numRuns: 3000 },
    );
  });

  it('has the length that requests are checked for', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const [key = ''] = keysOf(name, API_VERSIONS.fork);
        return !/[/:]/.test(name) || key.length === countedNameLength(name);
      }),
    );
  });

  it('is what the document says', () => {
    expect(keysOf('integration-account:space:alice', API_VERSIONS.v4)[0]).toBe(
      'osp.v1.integration-account~3Aspace~3Aalice',
    );
    expect(keysOf('osp.v1.a~3Ab', API_VERSIONS.v4)).toEqual(['osp.v1.osp.v1.a~7E3Ab']);
    expect(keysOf('osp.v1.ab', API_VERSIONS.v4)).toEqual(['osp.v1.ab']);
    expect(keysOf('a~b', API_VERSIONS.v4)).toEqual(['a~b']);
  });

  it.each(['osp.v1.a~3ab', 'osp.v1.a:b', 'osp.v1.ab', 'osp.v1.a~41', 'osp.v1.', 'osp.v2.a~3Ab', 'osp.v1.a~'])(
    'is a name as it stands where no name is escaped to it: %s',
    (key) => {
      expect(nameOfKey(key)).toBe(key);
    },
  );
});

describe.each(['fork', 'v3', 'v3-2025', 'v4'] as const)('names on a server (%s)', (apiVersion) => {
  it('go in and come out, sorted, and no two collide', async () => {
    const { fake, store } = await openStore({ apiVersion });
    let scopes = 0;
    const comeBack = async (names: readonly string[]) => {
      const scope = at(`ws${++scopes}`, 'dev');
      const held: string[] = [];
      for (const name of names) {
        const ended = await outcome(store.create(scope, { name, value: `v-${name}` }));
        if (ended === 'done') held.push(name);
        // What cannot be escaped within the length is told, and nothing else is.
        else expect([ended, name.length > 60]).toEqual(['INVALID_REQUEST', true]);
      }
      expect(rowsOf(fake, scope)).toHaveLength(held.length);
      for (const name of held)
        expect(await store.retrieve(scope, name)).toEqual({ name, value: `v-${name}` });
      for (const name of held) await store.update(scope, { name, value: `w-${name}` });
      held.sort((a, b) => (a < b ? -1 : 1));
      expect(await store.list(scope)).toEqual(held.map((name) => ({ name, value: `w-${name}` })));
      for (const name of held) await store.delete(scope, name);
      expect(rowsOf(fake, scope)).toEqual([]);
    };
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(anyName, { minLength: 2, maxLength: 5 }), async (names) => {
        await comeBack(names);
      }),
      { numRuns: 15, endOnFailure: true },
    );
  }, 60_000);

  it('come out where they are read by name, since the list is too large', async () => {
    const { store } = await openStore({ apiVersion }, { requestTimeoutMs: 5_000 });
    for (let i = 0; i < 20; i++) await store.create(at(), { name: `large${i}`, value: 'x'.repeat(500_000) });
    await store.create(at(), { name: 'a:b c', value: 'v' });
    await store.create(at(), { name: 'a b', value: 'v' });
    for (const name of ['a:b c', 'a b'])
      expect(await store.retrieve(at(), name)).toEqual({ name, value: 'v' });
    expect(await outcome(store.retrieve(at(), 'c:d'))).toBe('SECRET_NOT_FOUND');
  }, 60_000);
});
