import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { type Peer, PeerVerifier, type ServiceAccountName } from '../../src/authn/peer-verifier';
import { BOBS_OTMOICLP, EXAMPLE_APPS, OTMOICLP, READER, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { userToken } from '../support/tokens';

/** Says what a test wants of the peer at 127.0.0.1. */
class StatedPeers extends PeerVerifier {
  systemServerOf: string | undefined;
  accounts: Record<string, ServiceAccountName> = {};

  provesSystemServer(peerAddress: string | undefined, user: string): boolean {
    return peerAddress?.endsWith('127.0.0.1') === true && user === this.systemServerOf;
  }

  async trustedServiceAccountOf({ bearer }: Peer): Promise<ServiceAccountName | undefined> {
    return this.accounts[bearer ?? ''];
  }

  async provesEventSender(): Promise<boolean> {
    return false;
  }

  async provesSettings(): Promise<boolean> {
    return false;
  }
}

const clock = new FixedClock();
const store = new MemorySecretStore();
const grants = exampleApps();
const peers = new StatedPeers();
let service: Service;
beforeAll(
  async () => (service = await startService({ clock, store, grantSource: grants, peerVerifier: peers })),
);
afterAll(async () => service.close());
beforeEach(() => {
  store.calls.splice(0);
  grants.set(EXAMPLE_APPS);
  peers.systemServerOf = 'alice';
  peers.accounts = {};
});

const proxyRequest = (op: string, data: unknown = {}, overrides: object = {}) => ({
  op: `${op}?workspace=otmoic`,
  datatype: 'secret',
  version: 'v1',
  group: 'secret.infisical',
  appkey: OTMOICLP.appKey,
  param: null,
  data,
  Token: 'whatever',
  ...overrides,
});

async function send(
  op: string,
  body: unknown,
  headers: Record<string, string | string[]> = {},
): Promise<Answer> {
  return httpCall(`${service.url}/${op}`, {
    body,
    headers: {
      'x-request-id': 'r',
      'x-bfl-user': 'alice',
      'x-authorization': '',
      'terminus-nonce': 'n',
      ...headers,
    },
  });
}

describe('a call through a proven system-server', () => {
  it('creates, reads, updates, lists and deletes a secret in the workspace of op', async () => {
    const secret = { name: 'k', value: 'v', env: 'dev' };
    expect((await send('CreateSecret', proxyRequest('CreateSecret', secret))).body).toEqual({
      code: 200,
      message: '',
      data: '',
    });
    const read = await send('RetrieveSecret', proxyRequest('RetrieveSecret', { name: 'k', env: 'dev' }));
    expect(read.body.data).toEqual(secret);
    expect((await send('ListSecret', proxyRequest('ListSecret', { env: 'dev' }))).body.data).toEqual([
      secret,
    ]);
    await send('DeleteSecret', proxyRequest('DeleteSecret', { name: 'k', env: 'dev' }));
    expect((await send('ListSecret', proxyRequest('ListSecret', null))).body.data).toEqual([]);
    expect(store.calls).toContain('create ["alice","otmoic","dev"]');
  });

  it("may also be proven by a trusted ServiceAccount, of the same user's namespace or of none", async () => {
    peers.systemServerOf = undefined;
    const withAccount = async (namespace: string) => {
      peers.accounts = { 'sa-token': { namespace, name: 'system-server' } };
      const headers = { authorization: 'Bearer sa-token' };
      return (await send('ListSecret', proxyRequest('ListSecret'), headers)).status;
    };
    expect(await withAccount('user-system-alice')).toBe(200);
    expect(await withAccount('os-system')).toBe(200);
    expect(await withAccount('user-system-bob')).toBe(401);
    expect(await withAccount('user-system-alice-b')).toBe(401);
  });

  it('is refused without the grant', async () => {
    const answer = await send('ListSecret', proxyRequest('ListSecret', {}, { appkey: READER.appKey }));
    expect([answer.status, answer.body.data.reason]).toEqual([403, 'NOT_GRANTED']);
    const other = await send(
      'ListSecret',
      proxyRequest('ListSecret', {}, { op: 'ListSecret?workspace=other' }),
    );
    expect(other.status).toBe(403);
    expect(store.calls).toEqual([]);
  });

  it("may send the user's token, and is refused with that of another user", async () => {
    const withToken = async (user: string) =>
      send('ListSecret', proxyRequest('ListSecret'), {
        'x-authorization': await userToken(user, clock.nowMs()),
      });
    expect((await withToken('alice')).status).toBe(200);
    expect((await withToken('bob')).status).toBe(403);
    expect(
      (await send('ListSecret', proxyRequest('ListSecret'), { 'x-authorization': 'forged' })).status,
    ).toBe(401);
  });

  it.each([
    ['another operation in op', { op: 'RetrieveSecret?workspace=otmoic' }, 'op'],
    ['no op', { op: undefined }, 'op'],
    ['two workspaces', { op: 'ListSecret?workspace=otmoic&workspace=x' }, 'op'],
    ['a workspace that climbs', { op: 'ListSecret?workspace=../x' }, 'op'],
    ['another data type', { datatype: 'key' }, 'datatype'],
    ['another group', { group: 'other' }, 'group'],
    ['another version', { version: 'v2' }, 'version'],
    ['data that is no object', { data: ['x'] }, 'data'],
    ['a prototype in data', { data: { constructor: 1 } }, 'constructor'],
    ['an unknown field in data', { data: { x: 1 } }, 'x'],
  ])('is refused with %s', async (_title, overrides, field) => {
    const answer = await send('ListSecret', proxyRequest('ListSecret', {}, overrides));
    expect([answer.status, answer.body.data.field]).toEqual([400, field]);
    expect(store.calls).toEqual([]);
  });

  it('is refused where a query disagrees with op', async () => {
    expect((await send('ListSecret?workspace=other', proxyRequest('ListSecret'))).body.data.field).toBe(
      'workspace',
    );
    expect((await send('ListSecret?workspace=otmoic', proxyRequest('ListSecret'))).status).toBe(200);
  });
});

describe.each(SECRET_OPERATIONS)('a forged %s is refused and the store is not touched', (op) => {
  it.each<[string, () => void, Record<string, string | string[]>, object, number]>([
    ['from an unproven peer', () => (peers.systemServerOf = undefined), {}, {}, 401],
    ["from another user's system-server", () => (peers.systemServerOf = 'bob'), {}, {}, 401],
    ["for another user's app key", () => undefined, {}, { appkey: BOBS_OTMOICLP.appKey }, 403],
    ["in another user's name", () => undefined, { 'x-bfl-user': 'bob' }, {}, 401],
    ['without a user', () => undefined, { 'x-bfl-user': '' }, {}, 401],
    ['with two users', () => undefined, { 'x-bfl-user': ['alice', 'alice'] }, {}, 401],
    ['with users joined by a comma', () => undefined, { 'x-bfl-user': 'alice, bob' }, {}, 401],
    ['with an unknown app key', () => undefined, {}, { appkey: 'bytetrade_nobody_1' }, 401],
    ['with an empty app key', () => undefined, {}, { appkey: '' }, 401],
    ['with an app key that is no text', () => undefined, {}, { appkey: { $ne: '' } }, 401],
    [
      'with a forwarded address',
      () => (peers.systemServerOf = undefined),
      { 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '127.0.0.1', forwarded: 'for=127.0.0.1' },
      {},
      401,
    ],
    ['that system-server passed on', () => undefined, { 'x-forwarded-for': '10.0.0.7' }, {}, 401],
    ['that system-server’s second version passed on', () => undefined, { 'x-app-key': 'k' }, {}, 401],
    ['with two bearers', () => undefined, { authorization: ['Bearer x', 'Bearer x'] }, {}, 401],
    [
      'with an unknown bearer',
      () => (peers.systemServerOf = undefined),
      { authorization: 'Bearer x' },
      {},
      401,
    ],
  ])('%s', async (_title, arrange, headers, overrides, status) => {
    arrange();
    const data =
      op === 'ListSecret' ? {} : { name: 'k', ...(/Create|Update/.test(op) ? { value: 'v' } : {}) };
    const answer = await send(op, proxyRequest(op, data, overrides), headers);
    expect([answer.status, answer.body.code]).toEqual([status, status]);
    expect(store.calls).toEqual([]);
  });
});
