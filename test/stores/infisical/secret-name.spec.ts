import { outcome } from '../../conformance/secret-store.conformance';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { failuresOf2025 } from '../../support/fake-infisical/recordings';
import { at, openStore, ROUTES, rowsOf } from './opened-store';

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
      const { fake, store } = await openStore({ apiVersion: 'v3' });
      const refusal = { reason: 'INVALID_REQUEST', details: { field: 'name', rule } };
      await expect(store.create(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
      await expect(store.retrieve(at(), name)).rejects.toMatchObject(refusal);
      await expect(store.update(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
      await expect(store.delete(at(), name)).rejects.toMatchObject(refusal);
      expect(fake.calls).toEqual([]);
    },
  );
});

describe.each(['batch', 'move', 'duplicate', 'backfill-secret-references'])(
  'the name %s, a route of v4',
  (name) => {
    const rule = `must not be '${name}': Infisical has a route of that name`;
    const refusal = { reason: 'INVALID_REQUEST', details: { field: 'name', rule } };

    it('is refused there to a create before anything is sent, and to all writes where they have the route too', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v4' });
      await expect(store.create(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
      if (name === 'batch') {
        await expect(store.update(at(), { name, value: 'v' })).rejects.toMatchObject(refusal);
        await expect(store.delete(at(), name)).rejects.toMatchObject(refusal);
      }
      expect(fake.calls).toEqual([]);
    });

    it('is still read there, as after an upgrade of a server that took it', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v4' });
      await store.create(at(), { name: 'k', value: 'v' });
      expect(await outcome(store.retrieve(at(), name))).toBe('SECRET_NOT_FOUND');
      const location = fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
      fake.world.addSecret(location, name, 'old');
      expect(await store.retrieve(at(), name)).toEqual({ name, value: 'old' });
    });

    it('is like any other on v3 and the fork', async () => {
      for (const apiVersion of ['v3', 'fork'] as const) {
        const { fake, store } = await openStore({ apiVersion });
        await store.create(at(), { name, value: 'v' });
        expect(rowsOf(fake, at())).toEqual([[name, 'v']]);
      }
    });
  },
);

describe('a name with a space inside, on a server of June 2025', () => {
  const name = 'a b';

  it('is refused with the rule, which only its answer tells', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
    const rule = 'must not hold spaces: this server refuses it';
    await expect(store.create(at(), { name, value: 'v' })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      details: { field: 'name', rule },
    });
    expect(fake.count('POST', ROUTES.secret)).toBe(1);
    await store.create(at(), { name: 'a\u00a0b', value: 'a no-break space is taken' });
  });

  it('is not found by any other operation', async () => {
    const { store } = await openStore({ apiVersion: 'v3-2025' });
    await store.create(at(), { name: 'k', value: 'v' });
    expect(await outcome(store.retrieve(at(), name))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(store.update(at(), { name, value: 'v' }))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(store.delete(at(), name))).toBe('SECRET_NOT_FOUND');
  });

  it.each(['PATCH', 'DELETE'] as const)(
    'is not found either where a %s is refused for it',
    async (method) => {
      const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
      await store.create(at(), { name: 'k', value: 'v' });
      // So that the update need not list duplicate rows first.
      await store.list(at());
      const { status, answer } = failuresOf2025().find((entry) => entry.name === 'create, blank')!;
      fake.fail({ method, template: ROUTES.secret, fault: { kind: 'answer', status, body: answer } });
      const write = method === 'PATCH' ? store.update(at(), { name, value: 'v' }) : store.delete(at(), name);
      expect(await outcome(write)).toBe('SECRET_NOT_FOUND');
      expect(fake.count(method, ROUTES.secret)).toBe(1);
    },
  );

  it('is refused by the fake as by the recorded server', async () => {
    const fake = await FakeInfisical.start({ apiVersion: 'v3-2025' });
    const { id } = fake.world.addProject('names', 'names', fake.identity);
    const refusals = failuresOf2025().filter(({ name: title }) =>
      /^create, (blank|slash|colon)$/.test(title),
    );
    const found = await Promise.all(
      refusals.map(async ({ path }) => {
        const response = await fetch(fake.url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${fake.issueToken()}` },
          body: JSON.stringify({ workspaceId: id, environment: 'dev', secretValue: 'v' }),
        });
        return { status: response.status, answer: await response.json() };
      }),
    );
    await fake.close();
    const withoutId = refusals.map(({ status, answer }) => {
      const { reqId: _itsOwn, ...rest } = answer as Record<string, unknown>;
      return { status, answer: rest };
    });
    expect(found).toEqual(withoutId);
    expect(found).toHaveLength(3);
  });

  it('another refusal of a create is not blamed on the name', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
    await store.create(at(), { name: 'k', value: 'v' });
    const { status, answer } = failuresOf2025().find((entry) => entry.name === 'create, no value')!;
    fake.fail({
      method: 'POST',
      template: ROUTES.secret,
      fault: { kind: 'answer', status, body: answer },
    });
    expect(await outcome(store.create(at(), { name, value: 'v' }))).toBe('STORE_REFUSED');
  });
});

describe('names, users and workspaces', () => {
  it('never leave their place in a path', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' });
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
    const { fake, store } = await openStore({ apiVersion: 'v3' });
    expect(await outcome(store.list(at('ws', 'dev', 'a\ud800')))).toBe('INVALID_REQUEST');
    expect(fake.calls).toEqual([]);
  });
});
