import { hash } from 'bcrypt';
import { exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const OPS = ['ListSecret?workspace=desk', 'CreateSecret?workspace=desk'];
const appOf = (app: string, user: string, ops: readonly string[] = OPS) => ({
  app,
  user,
  appKey: `bytetrade_${app}_${user}`,
  appSecret: '0'.repeat(16),
  ops,
});
/** In the order of their installation. */
const NOTES = appOf('notes', 'alice', [...OPS, 'ListSecret?workspace=own']);
const MAIL = appOf('mail', 'alice');
const NOTES_OF_BOB = appOf('notes', 'bob');

describe('a workspace that two apps of a user state', () => {
  const grants = exampleApps();
  let store: MemorySecretStore;
  let service: Service;
  beforeEach(() => {
    store = new MemorySecretStore();
    grants.set([NOTES, MAIL, NOTES_OF_BOB]);
  });
  afterEach(async () => service.close());

  const start = async (workspaceSharing: 'allow' | 'deny') => {
    service = await startService({ clock, store, grantSource: grants }, { workspaceSharing });
  };
  const call = async (app: string, user: string, path: string, body: object = {}) =>
    httpCall(`${service.url}/${path}`, {
      method: 'POST',
      body,
      headers: {
        'x-authorization': await userToken(user, clock.nowMs()),
        'x-access-token': await accessToken(app, user, OPS, clock.nowMs()),
      },
    });
  const explained = async (app: string, user = 'alice') => {
    const headers = { 'x-authorization': await userToken(user, clock.nowMs()) };
    const answer = await httpCall(`${service.url}/admin/explain/${app}`, { method: 'GET', headers });
    return (answer.body as { data: unknown }).data;
  };

  it('is open to both as documented, and explain names the other app', async () => {
    await start('allow');
    expect(
      (await call('notes', 'alice', 'CreateSecret?workspace=desk', { name: 'k', value: 'v' })).status,
    ).toBe(200);
    expect((await call('mail', 'alice', 'ListSecret?workspace=desk')).body).toMatchObject({
      data: [{ name: 'k', value: 'v' }],
    });
    const operations = ['CreateSecret', 'ListSecret'];
    expect(await explained('mail')).toEqual([
      { workspace: 'desk', operations, sharedWith: ['notes'], usable: true },
    ]);
    expect(await explained('notes')).toEqual([
      { workspace: 'desk', operations, sharedWith: ['mail'], usable: true },
      { workspace: 'own', operations: ['ListSecret'], sharedWith: [], usable: true },
    ]);
    expect(await explained('notes', 'bob')).toEqual([
      { workspace: 'desk', operations, sharedWith: [], usable: true },
    ]);
    expect(await explained('nobody')).toEqual([]);
  });

  it('with WORKSPACE_SHARING=deny belongs to the app that was installed first', async () => {
    await start('deny');
    expect((await call('notes', 'alice', 'ListSecret?workspace=desk')).status).toBe(200);
    expect((await call('notes', 'bob', 'ListSecret?workspace=desk')).status).toBe(200);
    const calls = [...store.calls];
    const refused = await call('mail', 'alice', 'ListSecret?workspace=desk');
    expect(refused).toMatchObject({ status: 403, body: { code: 403, data: { reason: 'NOT_GRANTED' } } });
    expect(JSON.stringify(refused.body)).not.toContain('notes');
    expect(store.calls).toEqual(calls);
    expect(await explained('mail')).toMatchObject([{ workspace: 'desk', usable: false }]);
    await store.create({ user: 'alice', workspace: 'desk', environment: 'prod' }, { name: 'k', value: 'v' });
    const headers = { 'x-authorization': await userToken('alice', clock.nowMs()) };
    const names = await httpCall(`${service.url}/admin/secret/mail`, { method: 'GET', headers });
    expect(names.body).toMatchObject({ data: [] });
  });

  it('with WORKSPACE_SHARING=deny gives no access token to the second app', async () => {
    await start('deny');
    const outcomes = [];
    for (const { appKey, appSecret } of [NOTES, MAIL]) {
      const timestamp = Math.floor(clock.nowMs() / 1000);
      const body = {
        app_key: appKey,
        timestamp,
        token: await hash(`${appKey}${timestamp}${appSecret}`, 10),
        perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: OPS },
      };
      const answer = await httpCall(`${service.url}/permission/v1alpha1/access`, { method: 'POST', body });
      outcomes.push(answer.body as { code: number; message: string });
    }
    expect(outcomes).toMatchObject([
      { code: 0 },
      { code: 1, message: expect.stringContaining('workspace desk belongs to another app') },
    ]);
    expect(JSON.stringify(outcomes[1])).not.toContain('notes');
  });

  it('passes to the second when the first is uninstalled, and not by a conflict of the first', async () => {
    await start('deny');
    grants.set([NOTES, MAIL, { ...NOTES_OF_BOB, appKey: NOTES.appKey }]);
    expect((await call('mail', 'alice', 'ListSecret?workspace=desk')).status).toBe(403);
    grants.set([MAIL]);
    expect((await call('mail', 'alice', 'ListSecret?workspace=desk')).status).toBe(200);
  });
});
