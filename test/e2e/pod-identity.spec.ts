import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { ClusterService } from '../support/cluster-service';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, TEST_SETTINGS } from '../support/service';
import { accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const LIST = 'ListSecret?workspace=otmoic';
const SYSTEM_SERVER = '/system-server/v1alpha1/secret/secret.infisical/v1';

let cluster: ClusterService;
beforeAll(async () => (cluster = await ClusterService.start()));
afterAll(async () => cluster.close());
beforeEach(() => cluster.store.calls.splice(0));

const pod = (namespace = 'otmoiclp-alice'): string => `Bearer ${cluster.token(namespace)}`;
const userOf = async (user: string): Promise<string> => userToken(user, cluster.clock.nowMs());
const call = async (
  target: string,
  headers: Record<string, string | string[]>,
  body: unknown = {},
): Promise<Answer> => httpCall(`${cluster.url}/${target}`, { headers, body });
const outcomeOf = ({ status, body }: Answer) => [status, body.data.reason, body.data.credential];

describe('a pod with its ServiceAccount token', () => {
  it('creates, reads, updates, lists and deletes a secret without an access token', async () => {
    const headers = { authorization: pod(), 'x-authorization': await userOf('alice') };
    const secret = { name: 'k', value: 'v', env: 'dev' };
    const read = { name: 'k', env: 'dev' };
    expect((await call('CreateSecret?workspace=otmoic', headers, secret)).body.code).toBe(200);
    expect((await call('RetrieveSecret?workspace=otmoic', headers, read)).body.data).toEqual(secret);
    const updated = { ...secret, value: 'w' };
    expect((await call('UpdateSecret?workspace=otmoic', headers, updated)).body.code).toBe(200);
    expect((await call(LIST, headers, { env: 'dev' })).body.data).toEqual([updated]);
    expect((await call('DeleteSecret?workspace=otmoic', headers, read)).body.code).toBe(200);
    expect(cluster.store.calls[0]).toBe('create ["alice","otmoic","dev"]');
  });

  it.each(SECRET_OPERATIONS)("may also call %s on system-server's path", async (operation) => {
    const headers = { authorization: pod(), 'x-authorization': await userOf('alice') };
    const value = /Create|Update/.test(operation) ? { value: 'v' } : {};
    const body = operation === 'ListSecret' ? {} : { name: 'p', ...value };
    const target = `${SYSTEM_SERVER.slice(1)}/${operation}?workspace=otmoic`;
    const answer = await call(target, headers, body);
    expect(answer.status).toBe(200);
    expect(cluster.store.calls).toHaveLength(1);
    const refused = await call(target, { ...headers, authorization: 'Bearer x' }, body);
    expect([refused.body.code, refused.body.message]).toEqual([
      1,
      expect.stringContaining('"credential":"Authorization"'),
    ]);
    expect(cluster.store.calls).toHaveLength(1);
  });

  it('is the app that the owner of its namespace determines', async () => {
    const headers = { authorization: pod('mail-a-b'), 'x-authorization': await userOf('a-b') };
    expect((await call('ListSecret?workspace=mail-of-a-b', headers)).status).toBe(200);
    expect(outcomeOf(await call('ListSecret?workspace=mail-a-of-b', headers))).toEqual([
      403,
      'NOT_GRANTED',
      undefined,
    ]);
    expect(cluster.store.calls).toEqual(['list ["a-b","mail-of-a-b","prod"]']);
  });

  it('needs the token of its own user, as every caller does', async () => {
    expect(outcomeOf(await call(LIST, { authorization: pod() }))).toEqual([
      401,
      'UNAUTHENTICATED',
      'X-Authorization',
    ]);
    const ofBob = { authorization: pod(), 'x-authorization': await userOf('bob') };
    expect(outcomeOf(await call(LIST, ofBob))).toEqual([403, 'USER_MISMATCH', undefined]);
    expect(cluster.store.calls).toEqual([]);
  });

  it('may send its access token too, whose operations then count', async () => {
    const headers = async (ops: readonly string[]) => ({
      authorization: pod(),
      'x-access-token': await accessToken('otmoiclp', 'alice', ops, cluster.clock.nowMs()),
      'x-authorization': await userOf('alice'),
    });
    expect((await call(LIST, await headers(OTMOICLP.ops))).status).toBe(200);
    expect(outcomeOf(await call(LIST, await headers(['RetrieveSecret?workspace=otmoic'])))).toEqual([
      403,
      'NOT_GRANTED',
      undefined,
    ]);
    expect(cluster.store.calls).toHaveLength(1);
  });

  it('is logged by app and user, never by its token', async () => {
    await call(LIST, { authorization: pod(), 'x-authorization': await userOf('alice') });
    expect(cluster.service.logLines()).toContainEqual(
      expect.objectContaining({ app: 'otmoiclp', user: 'alice' }),
    );
    expect(cluster.service.log()).not.toContain('canary');
  });

  it('gets 503 while the cluster does not answer', async () => {
    const headers = { authorization: pod(), 'x-authorization': await userOf('alice') };
    cluster.server.failing = { status: 503, reason: 'ServiceUnavailable' };
    const answer = await call(LIST, headers);
    cluster.server.failing = undefined;
    expect(outcomeOf(answer)).toEqual([503, 'IDENTITY_UNAVAILABLE', undefined]);
    expect(cluster.store.calls).toEqual([]);
  });
});

describe('with USER_TOKEN_REQUIRED=false', () => {
  let background: ClusterService;
  beforeAll(
    async () =>
      (background = await ClusterService.start({
        userToken: { secret: USER_TOKEN_SECRET, required: false },
      })),
  );
  afterAll(async () => background.close());

  it('lets a pod call with its token alone; a user token that is sent must be valid and of the same user', async () => {
    const authorization = `Bearer ${background.token('otmoiclp-alice')}`;
    const list = async (headers: Record<string, string>) =>
      outcomeOf(
        await httpCall(`${background.url}/${LIST}`, { headers: { authorization, ...headers }, body: {} }),
      );
    expect((await list({}))[0]).toBe(200);
    expect((await list({ 'x-authorization': await userOf('alice') }))[0]).toBe(200);
    background.store.calls.splice(0);
    expect(await list({ 'x-authorization': 'x' })).toEqual([401, 'UNAUTHENTICATED', 'X-Authorization']);
    expect(await list({ 'x-authorization': await userOf('bob') })).toEqual([403, 'USER_MISMATCH', undefined]);
    expect(background.store.calls).toEqual([]);
  });
});

describe('without a cluster', () => {
  it('refuses a bearer token, also beside an access token, and never ignores it', async () => {
    const clock = new FixedClock();
    const store = new MemorySecretStore();
    const service = await startService({ clock, store, grantSource: exampleApps() }, TEST_SETTINGS);
    const good = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
    const list = async (headers: Record<string, string>) =>
      outcomeOf(await httpCall(`${service.url}/${LIST}`, { headers, body: {} }));
    const refused = [401, 'UNAUTHENTICATED', 'Authorization'];
    const { 'x-authorization': user } = good;
    expect(await list({ 'x-authorization': user, authorization: pod() })).toEqual(refused);
    expect(await list({ ...good, authorization: pod() })).toEqual(refused);
    expect(await list({ ...good, authorization: 'Basic eDp5' })).toEqual(refused);
    expect(store.calls).toEqual([]);
    expect((await list({ ...good, authorization: '' }))[0]).toBe(200);
    await service.close();
  });
});
