import { outcome } from '../../conformance/secret-store.conformance';
import { eventually } from '../../support/eventually';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import type { FakeEnvironment } from '../../support/fake-infisical/fake-world';
import { failuresOf2025 } from '../../support/fake-infisical/recordings';
import { ClientGone } from '../../../src/errors/request-errors';
import { isSecretName, UNATTENDED } from '../../../src/secrets/secret';
import { keysOf } from '../../../src/stores/infisical/secret-codec';
import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import { at, openStore, ROUTES, routesOf, rowsOf } from './opened-store';

const TOO_LONG = 'is too long: Infisical stores it escaped, which takes more than 100 characters';

function prodOf(fake: FakeInfisical): FakeEnvironment {
  return fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
}

describe('a name that Infisical cannot hold', () => {
  it.each([`osp.v1.${'~3A'.repeat(31)}`, `osp.v1.${'~2F'.repeat(31)}`])(
    'is refused with its rule before anything is sent: %j',
    async (name) => {
      expect(isSecretName(name)).toBe(true);
      const { fake, store } = await openStore({ apiVersion: 'v3' });
      const refusal = { reason: 'INVALID_REQUEST', details: { field: 'name', rule: TOO_LONG } };
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
    it('is stored escaped there, and never sent as it is where that is the route', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v4' });
      await store.create(at(), { name, value: 'v' });
      expect(rowsOf(fake, at())).toEqual([[`osp.v1.${name}`, 'v']]);
      await store.update(at(), { name, value: 'w' });
      expect(await store.list(at())).toEqual([{ name, value: 'w' }]);
      await store.delete(at(), name);
      expect(await outcome(store.delete(at(), name))).toBe('SECRET_NOT_FOUND');
      if (name !== 'batch') return;
      const targets = fake.calls.map(({ target }) => target.split('?')[0]);
      expect(targets.filter((target) => target?.endsWith(`/${name}`))).toEqual([]);
    });

    it('is still read there, as after an upgrade of a server that took it', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v4' });
      await store.create(at(), { name: 'k', value: 'v' });
      expect(await outcome(store.retrieve(at(), name))).toBe('SECRET_NOT_FOUND');
      fake.world.addSecret(prodOf(fake), name, 'old');
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

describe.each(['fork', 'v3', 'v3-2025', 'v4'] as const)('a name with : or / (%s)', (apiVersion) => {
  it('is stored escaped, and people can read it in the page', async () => {
    const { fake, store } = await openStore({ apiVersion });
    await store.create(at(), { name: 'integration-account:space:alice', value: 'v' });
    await store.create(at(), { name: 'a/b~c', value: 'w' });
    expect(rowsOf(fake, at())).toEqual([
      ['osp.v1.a~2Fb~7Ec', 'w'],
      ['osp.v1.integration-account~3Aspace~3Aalice', 'v'],
    ]);
  });

  it('that a person stored as it is, is served, changed and deleted', async () => {
    const { fake, store } = await openStore({ apiVersion });
    await store.create(at(), { name: 'k', value: 'v' });
    fake.world.addSecret(prodOf(fake), 'a:b', 'by hand');
    expect(await store.retrieve(at(), 'a:b')).toEqual({ name: 'a:b', value: 'by hand' });
    await store.update(at(), { name: 'a:b', value: 'changed' });
    expect((await store.list(at())).map(({ value }) => value)).toEqual(['changed', 'v']);
    await store.delete(at(), 'a:b');
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
  });

  it('is served as the service stored it, where a person stored it as it is too', async () => {
    const { fake, store } = await openStore({ apiVersion });
    await store.create(at(), { name: 'a:b', value: 'ours' });
    fake.world.addSecret(prodOf(fake), 'a:b', 'by hand', 9);
    expect(await store.retrieve(at(), 'a:b')).toEqual({ name: 'a:b', value: 'ours' });
    await store.update(at(), { name: 'a:b', value: 'changed' });
    expect(await store.list(at())).toEqual([{ name: 'a:b', value: 'changed' }]);
  });
});

describe('a name with a space inside, on a server of June 2025', () => {
  const name = 'a b';

  it('is stored escaped once the server has refused it, which only its answer shows', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
    await store.create(at(), { name, value: 'v' });
    expect(fake.count('POST', ROUTES.secret)).toBe(2);
    await store.create(at(), { name: 'a\u00a0b', value: 'a no-break space is taken' });
    expect(rowsOf(fake, at())).toEqual([
      ['a\u00a0b', 'a no-break space is taken'],
      ['osp.v1.a~20b', 'v'],
    ]);
    expect(await outcome(store.create(at(), { name, value: 'again' }))).toBe('SECRET_ALREADY_EXISTS');
    await store.update(at(), { name, value: 'w' });
    expect(await store.retrieve(at(), name)).toEqual({ name, value: 'w' });
    await store.delete(at(), name);
    expect((await store.list(at())).map((secret) => secret.name)).toEqual(['a\u00a0b']);
  });

  it('is not created beside one that the server took before it was upgraded', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
    await store.create(at(), { name: 'k', value: 'v' });
    fake.world.addSecret(prodOf(fake), name, 'old');
    expect(await outcome(store.create(at(), { name, value: 'new' }))).toBe('SECRET_ALREADY_EXISTS');
    expect(await store.retrieve(at(), name)).toEqual({ name, value: 'old' });
  });

  it('is refused with the rule where it is too long to be escaped', async () => {
    const { store } = await openStore({ apiVersion: 'v3-2025' });
    await expect(store.create(at(), { name: `a ${'n'.repeat(98)}`, value: 'v' })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      details: {
        field: 'name',
        rule: 'must not hold spaces, or be so much shorter that it can be stored escaped: this server refuses it',
      },
    });
  });

  it('is not found by any other operation where there is none', async () => {
    const { store } = await openStore({ apiVersion: 'v3-2025' });
    await store.create(at(), { name: 'k', value: 'v' });
    expect(await outcome(store.retrieve(at(), name))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(store.update(at(), { name, value: 'v' }))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(store.delete(at(), name))).toBe('SECRET_NOT_FOUND');
  });

  it.each(['PATCH', 'DELETE'] as const)(
    'is changed under its escaped key where a %s is refused for it',
    async (method) => {
      const { fake, store } = await openStore({ apiVersion: 'v3-2025' });
      await store.create(at(), { name, value: 'v' });
      // So that the update need not list duplicate rows first.
      await store.list(at());
      const { status, answer } = failuresOf2025().find((entry) => entry.name === 'create, blank')!;
      fake.fail({ method, template: ROUTES.secret, fault: { kind: 'answer', status, body: answer } });
      await (method === 'PATCH' ? store.update(at(), { name, value: 'w' }) : store.delete(at(), name));
      expect(rowsOf(fake, at())).toEqual(method === 'PATCH' ? [['osp.v1.a~20b', 'w']] : []);
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

// docs/infisical.md: a name that only some servers take "may be stored under either key since before an upgrade".
describe.each([
  ['a b', 'osp.v1.a~20b', 'an upgrade from June 2025'],
  ['move', 'move', 'an upgrade from v3'],
  ['duplicate', 'duplicate', 'an upgrade from v3'],
  ['backfill-secret-references', 'backfill-secret-references', 'an upgrade from v3'],
])('the name %s on v4, stored as %s since before %s', (name, key) => {
  const [otherKey = ''] = keysOf(name, API_VERSIONS.v4);
  const openUpgraded = async (more: readonly string[] = []) => {
    const opened = await openStore({ apiVersion: 'v4' });
    await opened.store.create(at(), { name: 'k', value: 'v' });
    opened.fake.world.addSecret(prodOf(opened.fake), key, 'old');
    for (const other of more) opened.fake.world.addSecret(prodOf(opened.fake), other, 'newer');
    return opened;
  };

  it('exists for a create, and is retrieved, updated and deleted', async () => {
    const { fake, store } = await openUpgraded();
    expect(await outcome(store.create(at(), { name, value: 'new' }))).toBe('SECRET_ALREADY_EXISTS');
    expect(await store.retrieve(at(), name)).toEqual({ name, value: 'old' });
    await store.update(at(), { name, value: 'changed' });
    expect(await store.retrieve(at(), name)).toEqual({ name, value: 'changed' });
    await store.delete(at(), name);
    expect(await outcome(store.retrieve(at(), name))).toBe('SECRET_NOT_FOUND');
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
  });

  it('and under the other key too, is one secret: reads by list and by name, updates and deletes agree', async () => {
    const { fake, store, another } = await openUpgraded([otherKey]);
    fake.world.addSecret(prodOf(fake), 'filler', 'x'.repeat(100_000));
    for (const reader of [store, another({ maxAnswerBytes: 50_000 })])
      expect(await reader.retrieve(at(), name)).toEqual({ name, value: 'newer' });
    expect(fake.count('GET', routesOf('v4').secret)).toBe(1);
    await store.update(at(), { name, value: 'changed' });
    expect((await store.list(at())).find((secret) => secret.name === name)?.value).toBe('changed');
    expect(fake.count('PATCH', routesOf('v4').secret)).toBe(1);
    await store.delete(at(), name);
    expect((await store.list(at())).map((secret) => secret.name)).not.toContain(name);
  });

  it('and under the other key too, is never said to be left as it was once one of them is deleted', async () => {
    const refused: Fault = { kind: 'answer', status: 429, headers: { 'retry-after': '60' }, body: {} };
    const forbidden: Fault = { kind: 'answer', status: 403, body: { error: 'PermissionDenied' } };
    for (const fault of [refused, forbidden]) {
      const { fake, store } = await openUpgraded([otherKey]);
      fake.fail({ method: 'DELETE', fault: { kind: 'delay', ms: 0 } });
      fake.fail({ method: 'DELETE', times: 9, fault });
      expect(await outcome(store.delete(at(), name))).toBe('STORE_OUTCOME_UNKNOWN');
      expect(rowsOf(fake, at())).toHaveLength(2);
    }
  });

  it('and under the other key too, is deleted under both although the answer to the first one is a failure', async () => {
    const body = { statusCode: 500, message: 'Something went wrong', error: 'InternalServerError' };
    const { fake, store } = await openUpgraded([otherKey]);
    fake.fail({ method: 'DELETE', fault: { kind: 'answer', when: 'after', status: 500, body } });
    expect(await outcome(store.delete(at(), name))).toBe('done');
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
    expect(fake.count('DELETE')).toBe(2);
  });

  it('and under the other key too, is deleted under both although the caller goes away in between', async () => {
    const { fake, store } = await openUpgraded([otherKey]);
    const caller = new AbortController();
    fake.fail({ method: 'DELETE', fault: { kind: 'delay', ms: 500 } });
    const deleting = outcome(store.store.delete(at(), name, { ...UNATTENDED, signal: caller.signal }));
    await eventually(() => expect(fake.count('DELETE')).toBe(1));
    caller.abort(new ClientGone());
    expect(await deleting).toBe('done');
    expect(rowsOf(fake, at())).toEqual([['k', 'v']]);
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
