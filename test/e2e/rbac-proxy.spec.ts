import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { ClusterService, PEERS, TRUSTED_PROXY } from '../support/cluster-service';
import { OTMOICLP } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { httpCall, type Answer } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

const LIST = 'ListSecret?workspace=otmoic';
const PROXY_HEADERS = {
  'x-bfl-user': 'alice',
  'x-remote-user': 'system:serviceaccount:otmoiclp-alice:default',
  'x-forwarded-for': '10.0.0.7',
  'terminus-nonce': 'n',
};

describe.each(['service-accounts', 'system-server'] as const)('with RBAC_PROXY=%s', (rbacProxy) => {
  let cluster: ClusterService;
  beforeAll(async () => (cluster = await ClusterService.start({ rbacProxy })));
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));
  let go: () => void = () => undefined;
  afterEach(() => go());

  const send = async (
    from: string,
    headers: Record<string, string>,
    target = LIST,
    body: unknown = {},
  ): Promise<Answer> => httpCall(`${cluster.url}/${target}`, { headers, body, from });

  it.each(SECRET_OPERATIONS)('believes the proxy’s pod about the caller of %s', async (operation) => {
    const value = /Create|Update/.test(operation) ? { value: 'v' } : {};
    const body = operation === 'ListSecret' ? {} : { name: 'k', ...value };
    const answer = await send(PEERS.trustedProxy, PROXY_HEADERS, `${operation}?workspace=otmoic`, body);
    expect([200, 404, 409]).toContain(answer.status);
    expect(cluster.store.calls).toEqual([
      `${operation.replace('Secret', '').toLowerCase()} ["alice","otmoic","prod"]`,
    ]);
  });

  it('believes a peer with the proxy’s token, from any address', async () => {
    const authorization = `Bearer ${cluster.token(TRUSTED_PROXY.namespace, { name: TRUSTED_PROXY.name })}`;
    expect((await send(PEERS.nobody, { ...PROXY_HEADERS, authorization })).status).toBe(200);
    expect((await send(PEERS.trustedProxy, { ...PROXY_HEADERS, authorization })).status).toBe(200);
    const another = `Bearer ${cluster.token(TRUSTED_PROXY.namespace, { name: 'default' })}`;
    expect((await send(PEERS.nobody, { ...PROXY_HEADERS, authorization: another })).status).toBe(401);
  });

  it(`${rbacProxy === 'system-server' ? 'and' : 'but not'} alice’s system-server, for alice`, async () => {
    const { status } = await send(PEERS.alicesSystemServer, PROXY_HEADERS);
    expect(status).toBe(rbacProxy === 'system-server' ? 200 : 401);
  });

  it('decides by the grants of the app that the namespace names', async () => {
    const reader = { ...PROXY_HEADERS, 'x-remote-user': 'system:serviceaccount:reader-alice:default' };
    const answer = await send(PEERS.trustedProxy, reader);
    expect([answer.status, answer.body.data.app]).toEqual([403, 'reader']);
    const mail = { 'x-bfl-user': 'a-b', 'x-remote-user': 'system:serviceaccount:mail-a-b:default' };
    expect((await send(PEERS.trustedProxy, mail, 'ListSecret?workspace=mail-of-a-b')).status).toBe(200);
    expect(cluster.store.calls).toEqual(['list ["a-b","mail-of-a-b","prod"]']);
  });

  it('needs no user token', async () => {
    const now = cluster.clock.nowMs();
    const withUser = { ...PROXY_HEADERS, 'x-authorization': await userToken('alice', now) };
    expect((await send(PEERS.trustedProxy, withUser)).status).toBe(200);
  });

  it('counts a credential of the app instead of the proxy’s headers', async () => {
    const now = cluster.clock.nowMs();
    const reader = { ...PROXY_HEADERS, 'x-remote-user': 'system:serviceaccount:reader-alice:default' };
    const user = { 'x-authorization': await userToken('alice', now) };
    const pod = { authorization: `Bearer ${cluster.token('otmoiclp-alice')}` };
    const access = { 'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, now) };
    expect((await send(PEERS.trustedProxy, { ...reader, ...user, ...pod })).status).toBe(200);
    expect((await send(PEERS.trustedProxy, { ...reader, ...user, ...access })).status).toBe(200);
    const { status, body } = await send(PEERS.trustedProxy, { ...PROXY_HEADERS, ...pod });
    expect([status, body.data.credential]).toEqual([401, 'X-Authorization']);
  });

  it('serves other addresses while one address floods with forged tokens', async () => {
    cluster.server.reviewGate = new Promise((resolve) => (go = resolve));
    const forged = (i: number) => `Bearer ${cluster.token('otmoiclp-alice').replace('canary', `forged-${i}`)}`;
    const reviews = () => cluster.server.requests.filter(({ method }) => method === 'POST').length;
    const before = reviews();
    const told: number[] = [];
    const flood = Array.from({ length: 100 }, async (_, i) => {
      told.push((await send('127.0.0.66', { ...PROXY_HEADERS, authorization: forged(i) })).status);
    });
    // Eight are reviewed at once, and sixteen wait.
    await eventually(() => expect([told.length, reviews() - before]).toEqual([76, 8]));
    const user = { 'x-authorization': await userToken('alice', cluster.clock.nowMs()) };
    const others = Promise.all(
      Array.from({ length: 20 }, (_, i) => {
        const authorization = `Bearer ${cluster.token('otmoiclp-alice')}`;
        return send(`127.0.1.${i + 1}`, { ...PROXY_HEADERS, ...user, authorization });
      }),
    );
    await eventually(() => expect(reviews() - before).toBe(28));
    go();
    expect((await others).map(({ status }) => status)).toEqual(Array(20).fill(200));
    await Promise.all(flood);
    expect(told.sort()).toEqual([...Array<number>(24).fill(401), ...Array<number>(76).fill(429)]);
  }); // prettier-ignore

  it('no longer believes a proxy whose pod is gone', async () => {
    const pod = cluster.server.of('pods').get(TRUSTED_PROXY.namespace, 'proxy');
    cluster.server.of('pods').delete(TRUSTED_PROXY.namespace, 'proxy');
    const { peerVerifier } = cluster.service.adapters;
    const peer = { address: PEERS.trustedProxy, bearer: undefined };
    let proven: boolean | undefined = true;
    await eventually(() => {
      void peerVerifier?.provesTrustedFor(peer, 'alice').then((is) => (proven = is));
      expect(proven).toBe(false);
    });
    expect((await send(PEERS.trustedProxy, PROXY_HEADERS)).status).toBe(401);
    expect(cluster.store.calls).toEqual([]);
    if (pod !== undefined) cluster.server.of('pods').put(pod);
  });
});

describe('with RBAC_PROXY=off', () => {
  let cluster: ClusterService;
  beforeAll(async () => (cluster = await ClusterService.start()));
  afterAll(async () => cluster.close());

  it('ignores a proxy’s headers beside a valid credential', async () => {
    const now = cluster.clock.nowMs();
    const another = { ...PROXY_HEADERS, 'x-bfl-user': 'bob', 'x-remote-user': 'x' };
    const user = { 'x-authorization': await userToken('alice', now) };
    for (const credential of [
      { 'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, now) },
      { authorization: `Bearer ${cluster.token('otmoiclp-alice')}` },
    ]) {
      const headers = { ...another, ...user, ...credential };
      const answer = await httpCall(`${cluster.url}/${LIST}`, {
        headers,
        body: {},
        from: PEERS.trustedProxy,
      });
      expect(answer.status).toBe(200);
    }
    expect(cluster.store.calls).toEqual(Array(2).fill('list ["alice","otmoic","prod"]'));
  });
});
