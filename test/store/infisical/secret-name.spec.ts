import { outcome } from '../../conformance/secret-store.conformance';
import { at, openStore, rowsOf } from './opened-store';

const REFUSED: Readonly<Record<string, string>> = {
  '': 'must be 1 to 100 characters',
  ['n'.repeat(101)]: 'must be 1 to 100 characters',
  ['🚀🚀'.repeat(26)]: 'must be 1 to 100 characters',
  '.': "must not be '.' or '..'",
  '..': "must not be '.' or '..'",
  'a/b': "must not hold '/' or ':'",
  '../x': "must not hold '/' or ':'",
  'a:b': "must not hold '/' or ':'",
  'a\0b': 'must not hold control characters',
  'a\nb': 'must not hold control characters',
  'a\u0085b': 'must not hold control characters',
  ' a': 'must not begin or end with white space',
  'a\u00a0': 'must not begin or end with white space',
  ['__proto__']: "must not be a name of JavaScript's own objects: Infisical cannot hold it",
  ['constructor']: "must not be a name of JavaScript's own objects: Infisical cannot hold it",
  ['hasOwnProperty']: "must not be a name of JavaScript's own objects: Infisical cannot hold it",
  'a\ud800': 'must be well-formed Unicode',
};

describe('a name that Infisical cannot hold', () => {
  it.each(Object.entries(REFUSED))(
    'is refused with its rule before anything is sent: %j',
    async (name, rule) => {
      const { fake, store } = await openStore({ dialect: 'v3' });
      const refusal = { reason: 'INVALID_REQUEST', details: { field: 'name', rule } };
      await expect(store.create(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
      await expect(store.retrieve(at(), name)).rejects.toMatchObject(refusal);
      await expect(store.update(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
      await expect(store.delete(at(), name)).rejects.toMatchObject(refusal);
      expect(fake.calls).toEqual([]);
    },
  );
});

describe('names, users and workspaces', () => {
  it('never leave their place in a path', async () => {
    const { fake, store } = await openStore({ dialect: 'v3' });
    const names = [
      'a?b=c',
      'a#b',
      'a%2fb',
      '%2e%2e',
      'a&workspaceId=x',
      'a\\..\\b',
      '..;',
      '@evil.example',
      'x y',
      '...',
      '${a}',
    ];
    const scopes = [
      at('../../x', 'dev', '..'),
      at('?x', 'dev', '#'),
      at('%2e%2e', 'dev', 'http://evil.example/'),
    ];
    for (const scope of scopes) {
      for (const name of names) await store.create(scope, { name, value: name });
      expect(rowsOf(fake, scope).map(([name]) => name)).toEqual([...names].sort());
      for (const name of names) await store.delete(scope, name);
    }
    expect(fake.world.projects).toHaveLength(scopes.length);
    expect(fake.calls.filter(({ template }) => template === undefined)).toEqual([]);
  });

  it('a user that is no Unicode text is refused', async () => {
    const { fake, store } = await openStore({ dialect: 'v3' });
    expect(await outcome(store.list(at('ws', 'dev', 'a\ud800')))).toBe('INVALID_REQUEST');
    expect(fake.calls).toEqual([]);
  });
});
