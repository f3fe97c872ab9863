import { EXAMPLE_APPS, OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const clock = new FixedClock();
const grants = exampleApps();
const TWO_WORKSPACES = {
  app: 'notes',
  user: 'alice',
  appKey: 'bytetrade_notes_1',
  appSecret: '0'.repeat(16),
  ops: ['RetrieveSecret', 'RetrieveSecret?workspace=shared', 'CreateSecret?workspace=shared'],
};

describe('the routes of the Settings app', () => {
  let store: MemorySecretStore;
  let service: Service;
  let alice: string;
  beforeEach(async () => {
    store = new MemorySecretStore();
    grants.set([...EXAMPLE_APPS, TWO_WORKSPACES]);
    const userTokens = { secret: USER_TOKEN_SECRET, required: false, adminGroup: 'vault_admins' };
    service = await startService({ clock, store, grantSource: grants }, { userToken: userTokens });
    alice = await userToken('alice', clock.nowMs());
  });
  afterEach(async () => service.close());

  const call = async (method: string, path: string, body?: unknown, token = alice): Promise<Answer> =>
    httpCall(`${service.url}/admin/${path}`, {
      method,
      body,
      headers: { 'x-authorization': token, 'x-request-id': 'r' },
    });
  const ok = (data: unknown) => ({ code: 200, message: '', data });

  it('tell whether an app holds a secret grant', async () => {
    expect((await call('GET', 'permission/otmoiclp')).body).toEqual(ok({ permission: true }));
    expect((await call('GET', 'permission/nobody')).body).toEqual(ok({ permission: false }));
    grants.set([{ ...OTMOICLP, ops: [] }]);
    expect((await call('GET', 'permission/otmoiclp')).body).toEqual(ok({ permission: false }));
  });

  it('create, show the name but never the value, update and delete in prod', async () => {
    expect((await call('GET', 'secret/otmoiclp')).body).toEqual(ok([]));
    expect((await call('POST', 'secret/otmoiclp', { Key: 'k', Value: 'v' })).body).toEqual(ok(''));
    expect((await call('GET', 'secret/otmoiclp')).body).toEqual(ok([{ Workspace: 'otmoic', Key: 'k' }]));
    const scope = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
    expect((await store.list(scope)).secrets).toEqual([{ name: 'k', value: 'v' }]);
    expect((await call('PUT', 'secret/otmoiclp', { Key: 'k', Value: 'w' })).body).toEqual(ok(''));
    expect((await store.list(scope)).secrets).toEqual([{ name: 'k', value: 'w' }]);
    expect((await call('POST', 'secret/otmoiclp', { Key: 'k', Value: 'x' })).status).toBe(409);
    expect((await call('DELETE', 'secret/otmoiclp', { Key: 'k' })).body).toEqual(ok(''));
    expect((await call('DELETE', 'secret/otmoiclp', { Key: 'k' })).status).toBe(404);
    expect((await call('PUT', 'secret/otmoiclp', { Key: 'k', Value: 'w' })).status).toBe(404);
  });

  it("show an app's names over all of its workspaces, and change the one that holds the key", async () => {
    expect((await call('POST', 'secret/notes', { Key: 'k', Value: 'v', Workspace: 'shared' })).status).toBe(
      200,
    );
    expect((await call('POST', 'secret/notes', { Key: 'o', Value: 'v', Workspace: 'notes' })).status).toBe(
      200,
    );
    expect((await call('GET', 'secret/notes')).body).toEqual(
      ok([
        { Workspace: 'notes', Key: 'o' },
        { Workspace: 'shared', Key: 'k' },
      ]),
    );
    expect((await call('PUT', 'secret/notes', { Key: 'k', Value: 'w' })).status).toBe(200);
    expect((await call('DELETE', 'secret/notes', { Key: 'o' })).status).toBe(200);
    expect((await call('GET', 'secret/notes')).body).toEqual(ok([{ Workspace: 'shared', Key: 'k' }]));
    await call('POST', 'secret/notes', { Key: 'k', Value: 'v', Workspace: 'notes' });
    expect((await call('POST', 'secret/otmoiclp', { Key: 'null', Value: 'v', Workspace: null })).status).toBe(
      200,
    );
    for (const [method, body] of [
      ['POST', { Key: 'new', Value: 'v' }],
      ['PUT', { Key: 'k', Value: 'v' }],
      ['DELETE', { Key: 'k' }],
    ] as const) {
      const answer = await call(method, 'secret/notes', body);
      expect([answer.status, answer.body.data.field]).toEqual([400, 'Workspace']);
    }
  });

  it('allow no workspace on which the app holds no grant', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const body = { Key: 'k', Workspace: 'otmoic', ...(method === 'DELETE' ? {} : { Value: 'v' }) };
      expect((await call(method, 'secret/notes', body)).status).toBe(403);
      expect((await call(method, 'secret/nobody', body)).status).toBe(403);
    }
    expect(store.calls).toEqual([]);
  });

  it("are for the user's own token, which is never optional here", async () => {
    const access = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs());
    const anonymous = async (headers: Record<string, string>) =>
      (await httpCall(`${service.url}/admin/secret/otmoiclp`, { method: 'GET', headers })).status;
    expect(await anonymous({})).toBe(401);
    expect(await anonymous({ 'x-access-token': access })).toBe(401);
    expect(await anonymous({ 'x-bfl-user': 'alice' })).toBe(401);
    expect(await anonymous({ 'x-authorization': access })).toBe(401);
    const carol = await userToken('carol', clock.nowMs());
    expect((await call('GET', 'permission/otmoiclp', undefined, carol)).body).toEqual(
      ok({ permission: false }),
    );
    expect(store.calls).toEqual([]);
  });

  it('let the configured admin group act for another user, and nobody else', async () => {
    await call('POST', 'secret/otmoiclp', { Key: 'k', Value: 'v' });
    const withGroups = async (groups: unknown) => userToken('carol', clock.nowMs(), { claims: { groups } });
    const admin = await withGroups(['users', 'vault_admins']);
    expect((await call('GET', 'secret/otmoiclp?user=alice', undefined, admin)).body).toEqual(
      ok([{ Workspace: 'otmoic', Key: 'k' }]),
    );
    for (const groups of [[], ['VAULT_ADMINS'], 'vault_admins', undefined]) {
      const answer = await call('GET', 'secret/otmoiclp?user=alice', undefined, await withGroups(groups));
      expect([answer.status, answer.body.data.reason]).toEqual([403, 'USER_MISMATCH']);
    }
    expect((await call('GET', 'secret/otmoiclp?user=bob&user=bob', undefined, admin)).status).toBe(403);
  });

  it.each([
    ['POST', {}],
    ['POST', { Key: 'k' }],
    ['POST', { Key: '..', Value: 'v' }],
    ['PUT', { Key: 'k', Value: 5 }],
    ['DELETE', { Key: 'k', Value: 'v' }],
    ['POST', { Key: 'k', Value: 'v', Workspace: '../x' }],
    ['POST', { name: 'k', value: 'v' }],
  ])('refuse bad input: %s %j', async (method, body) => {
    const answer = await call(method, 'secret/otmoiclp', body);
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    expect(store.calls).toEqual([]);
  });
});
