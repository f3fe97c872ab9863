import { SECRET_OPERATIONS, type SecretOperation } from '../../src/authz/grant';
import type { RbacProxyMode } from '../../src/authn/caller';
import { ClusterService, PEERS, TRUSTED_PROXY } from '../support/cluster-service';
import { BOBS_OTMOICLP, OTMOICLP, READER } from '../support/example-apps';
import { httpCall } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

type Headers = Readonly<Record<string, string | string[]>>;

interface Forgery {
  /** Beside alice's good X-Authorization, unless they replace it. */
  readonly headers: (cluster: ClusterService) => Headers | Promise<Headers>;
  readonly from?: string;
  readonly appKey?: string;
  readonly status: number;
  readonly reason: string;
  readonly credential?: string;
}

const refused = (credential: string) => ({ status: 401, reason: 'UNAUTHENTICATED', credential }) as const;
const NO_APP = refused('X-Access-Token');
const BAD_BEARER = refused('Authorization');
const MISMATCH = { status: 403, reason: 'USER_MISMATCH' } as const;
const NOT_GRANTED = { status: 403, reason: 'NOT_GRANTED' } as const;

const remote = (namespace: string): string => `system:serviceaccount:${namespace}:default`;
/** What a proxy would say of alice's otmoiclp. */
const PROXY_HEADERS = { 'x-bfl-user': 'alice', 'x-remote-user': remote('otmoiclp-alice') };
const EVERY_HEADER = {
  ...PROXY_HEADERS,
  'x-remote-group': 'system:masters',
  'x-remote-groups': 'system:serviceaccounts:otmoiclp-alice',
  'x-forwarded-user': 'alice',
  'x-forwarded-for': PEERS.alicesSystemServer,
  'x-real-ip': PEERS.alicesSystemServer,
  forwarded: `for=${PEERS.alicesSystemServer}`,
  'x-app-key': OTMOICLP.appKey,
  'terminus-nonce': 'the-nonce',
  'temp-authorization': 'Bearer x',
  'x-unauth-error': '',
  cookie: 'auth_token=x',
};

const bearer = (namespace: string, change = {}) => ({
  headers: (cluster: ClusterService) => ({ authorization: `Bearer ${cluster.token(namespace, change)}` }),
});
const written = (form: (token: string) => string | string[]) => ({
  headers: (cluster: ClusterService) => ({ authorization: form(cluster.token('otmoiclp-alice')) }),
});
const both = (namespace: string, app: { app: string; user: string }) => ({
  headers: async (cluster: ClusterService) => ({
    authorization: `Bearer ${cluster.token(namespace)}`,
    'x-access-token': await accessToken(app.app, app.user, OTMOICLP.ops, cluster.clock.nowMs()),
  }),
});
const asUser = (user: string, headers: Headers) => async (cluster: ClusterService) => ({
  ...headers,
  'x-authorization': await userToken(user, cluster.clock.nowMs()),
});
const said = (headers: Headers, from: string = PEERS.nobody) => ({ headers: () => headers, from });

/** Refused in every mode. */
const ALWAYS: Readonly<Record<string, Forgery>> = {
  ...Object.fromEntries(
    Object.entries(EVERY_HEADER).map(([name, value]) => [
      `${name} alone`,
      { ...said({ [name]: value }), ...NO_APP },
    ]),
  ),
  'every identity header at once': { ...said(EVERY_HEADER), ...NO_APP },
  'every identity header at once, beside another pod’s place': {
    ...said(EVERY_HEADER, PEERS.beside),
    ...NO_APP,
  },
  'a user’s login as cookie': {
    headers: async (cluster) => ({ cookie: `auth_token=${await userToken('alice', cluster.clock.nowMs())}` }),
    ...NO_APP,
  },
  'a token of another audience': { ...bearer('otmoiclp-alice', { audience: 'kubernetes' }), ...BAD_BEARER },
  'an expired token': { ...bearer('otmoiclp-alice', { expiresAtMs: 1000 }), ...BAD_BEARER },
  'a token that the cluster does not know': {
    headers: (cluster) => ({ authorization: `Bearer ${cluster.token('otmoiclp-alice')}x` }),
    ...BAD_BEARER,
  },
  'a user’s token as bearer': {
    headers: async (cluster) => ({
      authorization: `Bearer ${await userToken('alice', cluster.clock.nowMs())}`,
    }),
    ...BAD_BEARER,
  },
  'an access token as bearer': {
    headers: async ({ clock }) => ({
      authorization: `Bearer ${await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs())}`,
    }),
    ...BAD_BEARER,
  },
  'a pod’s token as access token': {
    headers: (cluster) => ({ 'x-access-token': cluster.token('otmoiclp-alice') }),
    ...NO_APP,
  },
  'a pod of the user’s system namespace': { ...bearer('user-system-alice'), ...BAD_BEARER },
  'a pod of the user’s own namespace': { ...bearer('user-space-alice'), ...BAD_BEARER },
  'a pod of user-system-a-b, which user b owns': { ...bearer('user-system-a-b'), ...BAD_BEARER },
  'a pod of a namespace without an owner': { ...bearer('unlabelled-alice'), ...BAD_BEARER },
  'a pod of a namespace that does not exist': { ...bearer('otmoiclp-dave'), ...BAD_BEARER },
  'a pod of a namespace that is named after another than its owner': {
    ...bearer('otmoiclp-carol'),
    ...BAD_BEARER,
  },
  'the proxy’s own pod': { ...bearer(TRUSTED_PROXY.namespace, { name: TRUSTED_PROXY.name }), ...BAD_BEARER },
  'a pod of an app that nobody installed': { ...bearer('otmoiclp-x-alice'), ...NOT_GRANTED },
  'a pod of mail-a-b, which is not b’s': {
    headers: async (cluster) =>
      asUser('b', { authorization: `Bearer ${cluster.token('mail-a-b')}` })(cluster),
    ...MISMATCH,
  },
  'a pod of another user': { ...bearer('otmoiclp-bob'), ...MISMATCH },
  'a lower-case scheme': { ...written((token) => `bearer ${token}`), ...BAD_BEARER },
  'an upper-case scheme': { ...written((token) => `BEARER ${token}`), ...BAD_BEARER },
  'two blanks': { ...written((token) => `Bearer  ${token}`), ...BAD_BEARER },
  'a tab': { ...written((token) => `Bearer\t${token}`), ...BAD_BEARER },
  'something behind the token': { ...written((token) => `Bearer ${token} x`), ...BAD_BEARER },
  'a comma behind the token': { ...written((token) => `Bearer ${token},`), ...BAD_BEARER },
  'the token without a scheme': { ...written((token) => token), ...BAD_BEARER },
  'the scheme without a token': { ...written(() => 'Bearer'), ...BAD_BEARER },
  'another scheme': { ...written((token) => `Token ${token}`), ...BAD_BEARER },
  Basic: {
    ...written((token) => `Basic ${Buffer.from(`x:${token}`).toString('base64')}`),
    ...BAD_BEARER,
  },
  'the token twice': { ...written((token) => [`Bearer ${token}`, `Bearer ${token}`]), ...BAD_BEARER },
  'the token behind another': { ...written((token) => ['Bearer x', `Bearer ${token}`]), ...BAD_BEARER },
  'the token before another': { ...written((token) => [`Bearer ${token}`, 'Bearer x']), ...BAD_BEARER },
  'the token before nothing': { ...written((token) => [`Bearer ${token}`, '']), ...BAD_BEARER },
  'the token joined with another': { ...written((token) => `Bearer ${token}, Bearer x`), ...BAD_BEARER },
  'the pod of one app with the access token of another': {
    ...both('otmoiclp-alice', READER),
    ...BAD_BEARER,
  },
  'the pod of one user with the access token of another': {
    ...both('otmoiclp-bob', OTMOICLP),
    ...BAD_BEARER,
  },
  'the access token of one user with the pod of another': {
    ...both('otmoiclp-alice', BOBS_OTMOICLP),
    ...BAD_BEARER,
  },
  'a good access token with a pod that is nobody’s': { ...both('unlabelled-alice', OTMOICLP), ...BAD_BEARER },
  'a good pod with a bad access token': {
    headers: (cluster) => ({
      authorization: `Bearer ${cluster.token('otmoiclp-alice')}`,
      'x-access-token': 'x',
    }),
    ...NO_APP,
  },
  'a good pod without its user': {
    headers: (cluster) => ({
      authorization: `Bearer ${cluster.token('otmoiclp-alice')}`,
      'x-authorization': '',
    }),
    ...refused('X-Authorization'),
  },
  'a proxy’s headers from alice’s system-server about another of its namespaces’ pods, with no user': {
    ...said({ 'x-remote-user': PROXY_HEADERS['x-remote-user'] }, PEERS.alicesSystemServer),
    ...NO_APP,
  },
  'a user from alice’s system-server, with no app': {
    ...said({ 'x-bfl-user': 'alice', 'terminus-nonce': 'n' }, PEERS.alicesSystemServer),
    ...NO_APP,
  },
  'a proxy’s headers from bob’s system-server': { ...said(PROXY_HEADERS, PEERS.bobsSystemServer), ...NO_APP },
  'a proxy’s headers from another pod of the proxy’s namespace': {
    ...said(PROXY_HEADERS, PEERS.beside),
    ...NO_APP,
  },
  'a proxy’s headers with a bearer that is nobody’s, from the proxy': {
    ...said({ ...PROXY_HEADERS, authorization: 'Bearer x' }, PEERS.trustedProxy),
    ...BAD_BEARER,
  },
  'a proxy’s headers with Basic, from the proxy': {
    ...said({ ...PROXY_HEADERS, authorization: 'Basic x' }, PEERS.trustedProxy),
    ...BAD_BEARER,
  },
  'a proxy’s headers with a bad access token, from the proxy': {
    ...said({ ...PROXY_HEADERS, 'x-access-token': 'x' }, PEERS.trustedProxy),
    ...NO_APP,
  },
  'a proxy’s headers with the token of another user’s pod, from the proxy': {
    headers: (cluster) => ({ ...PROXY_HEADERS, authorization: `Bearer ${cluster.token('otmoiclp-bob')}` }),
    from: PEERS.trustedProxy,
    ...MISMATCH,
  },
  'a ProxyRequest from anybody': { ...said(EVERY_HEADER), appKey: OTMOICLP.appKey, ...NO_APP },
  'a ProxyRequest with a pod’s own good token': {
    headers: (cluster) => ({ ...PROXY_HEADERS, authorization: `Bearer ${cluster.token('otmoiclp-alice')}` }),
    appKey: OTMOICLP.appKey,
    ...NO_APP,
  },
  'a ProxyRequest from bob’s system-server': {
    ...said(PROXY_HEADERS, PEERS.bobsSystemServer),
    appKey: OTMOICLP.appKey,
    ...NO_APP,
  },
  'a ProxyRequest with the app key of another user': {
    ...said({ 'x-bfl-user': 'alice' }, PEERS.alicesSystemServer),
    appKey: BOBS_OTMOICLP.appKey,
    ...MISMATCH,
  },
  ...Object.fromEntries(
    ['x-forwarded-for', 'x-real-ip', 'forwarded', 'x-app-key'].map((name) => [
      `a ProxyRequest that alice’s system-server passed on with ${name}`,
      {
        ...said({ 'x-bfl-user': 'alice', [name]: '10.0.0.7' }, PEERS.alicesSystemServer),
        appKey: OTMOICLP.appKey,
        ...NO_APP,
      },
    ]),
  ),
};

/** Refused where the peer is a proxy whose word counts. */
const FROM_A_PROXY: Readonly<Record<string, Omit<Forgery, 'from'>>> = {
  'of another user’s pod': {
    ...said({ ...PROXY_HEADERS, 'x-remote-user': remote('otmoiclp-bob') }),
    ...MISMATCH,
  },
  'of another user’s pod, with no user’s token': {
    ...said({ ...PROXY_HEADERS, 'x-remote-user': remote('otmoiclp-bob'), 'x-authorization': '' }),
    ...MISMATCH,
  },
  'of mail-a-b, which is a-b’s': {
    headers: asUser('alice', { 'x-bfl-user': 'alice', 'x-remote-user': remote('mail-a-b') }),
    ...MISMATCH,
  },
  'of an app that nobody installed': {
    ...said({ ...PROXY_HEADERS, 'x-remote-user': remote('otmoiclp-x-alice') }),
    ...NOT_GRANTED,
  },
  'beside a user’s token that is forged': {
    ...said({ ...PROXY_HEADERS, 'x-authorization': 'x' }),
    ...refused('X-Authorization'),
  },
  'beside another user’s token': { headers: asUser('bob', PROXY_HEADERS), ...MISMATCH },
  ...Object.fromEntries(
    [
      'user-system-alice',
      'user-space-alice',
      'user-system-a-b',
      'unlabelled-alice',
      'otmoiclp-carol',
      'otmoiclp-dave',
      'os-framework',
    ].map((namespace) => [
      `of ${namespace}`,
      { ...said({ ...PROXY_HEADERS, 'x-remote-user': remote(namespace) }), ...NO_APP },
    ]),
  ),
  ...Object.fromEntries(
    [
      'alice',
      'otmoiclp-alice',
      'system:serviceaccount:otmoiclp-alice',
      'system:serviceaccount:otmoiclp-alice:',
      'system:serviceaccount:otmoiclp-alice:a:b',
      'SYSTEM:serviceaccount:otmoiclp-alice:default',
      ' system:serviceaccount:otmoiclp-alice: default',
      `${remote('otmoiclp-alice')},${remote('otmoiclp-alice')}`,
      `${remote('otmoiclp-alice')}, ${remote('reader-alice')}`,
      'system:node:otmoiclp-alice',
    ].map((name) => [`of ${name}`, { ...said({ ...PROXY_HEADERS, 'x-remote-user': name }), ...NO_APP }]),
  ),
  'with X-Remote-User twice': {
    ...said({ ...PROXY_HEADERS, 'x-remote-user': [remote('otmoiclp-alice'), remote('otmoiclp-alice')] }),
    ...NO_APP,
  },
  'with X-BFL-USER twice': { ...said({ ...PROXY_HEADERS, 'x-bfl-user': ['alice', 'alice'] }), ...NO_APP },
  'with two users joined': { ...said({ ...PROXY_HEADERS, 'x-bfl-user': 'alice,bob' }), ...NO_APP },
  'with an empty user': { ...said({ ...PROXY_HEADERS, 'x-bfl-user': '' }), ...NO_APP },
  'with a user that is a path': { ...said({ ...PROXY_HEADERS, 'x-bfl-user': '../alice' }), ...NO_APP },
};

const from = (peer: string, cases: Readonly<Record<string, Omit<Forgery, 'from'>>>) =>
  Object.fromEntries(
    Object.entries(cases).map(([title, one]) => [`a proxy’s headers ${title}`, { ...one, from: peer }]),
  );

const MODES: Readonly<Record<RbacProxyMode, Readonly<Record<string, Forgery>>>> = {
  off: {
    ...ALWAYS,
    'a proxy’s headers from the proxy': { ...said(PROXY_HEADERS, PEERS.trustedProxy), ...NO_APP },
    'a proxy’s headers with the proxy’s token': {
      headers: (cluster) => ({
        ...PROXY_HEADERS,
        authorization: `Bearer ${cluster.token(TRUSTED_PROXY.namespace, { name: TRUSTED_PROXY.name })}`,
      }),
      ...BAD_BEARER,
    },
    'a proxy’s headers from alice’s system-server': {
      ...said(PROXY_HEADERS, PEERS.alicesSystemServer),
      ...NO_APP,
    },
  },
  'service-accounts': {
    ...ALWAYS,
    ...from(PEERS.trustedProxy, FROM_A_PROXY),
    'a proxy’s headers of mail-a-b in the name of b': {
      headers: () => ({
        'x-bfl-user': 'b',
        'x-remote-user': remote('mail-a-b'),
        'x-authorization': '',
      }),
      from: PEERS.trustedProxy,
      ...MISMATCH,
    },
    'a proxy’s headers from alice’s system-server': {
      ...said(PROXY_HEADERS, PEERS.alicesSystemServer),
      ...NO_APP,
    },
  },
  'system-server': {
    ...ALWAYS,
    ...from(PEERS.alicesSystemServer, FROM_A_PROXY),
    'a proxy’s headers from alice’s system-server in the name of bob': {
      ...said({ 'x-bfl-user': 'bob', 'x-remote-user': remote('otmoiclp-bob') }, PEERS.alicesSystemServer),
      ...NO_APP,
    },
  },
};

function bodyOf(operation: SecretOperation, appKey: string | undefined): unknown {
  const value = /Create|Update/.test(operation) ? { value: 'v' } : {};
  const data = operation === 'ListSecret' ? {} : { name: 'k', ...value };
  if (appKey === undefined) return data;
  const op = `${operation}?workspace=otmoic`;
  return { op, datatype: 'secret', version: 'v1', group: 'secret.infisical', appkey: appKey, data };
}

describe.each(Object.keys(MODES) as RbacProxyMode[])('with RBAC_PROXY=%s', (rbacProxy) => {
  let cluster: ClusterService;
  beforeAll(async () => (cluster = await ClusterService.start({ rbacProxy })));
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));

  it.each(Object.entries(MODES[rbacProxy]))(
    '%s is refused, and the store is not touched',
    async (_, forgery) => {
      for (const operation of SECRET_OPERATIONS) {
        const headers = {
          'x-authorization': await userToken('alice', cluster.clock.nowMs()),
          ...(await forgery.headers(cluster)),
        };
        const answer = await httpCall(`${cluster.url}/${operation}?workspace=otmoic`, {
          headers,
          body: bodyOf(operation, forgery.appKey),
          from: forgery.from ?? PEERS.nobody,
        });
        const { reason, credential } = answer.body.data;
        expect([operation, answer.status, reason, credential]).toEqual([
          operation,
          forgery.status,
          forgery.reason,
          forgery.credential,
        ]);
        expect(cluster.store.calls).toEqual([]);
      }
      expect(cluster.service.log()).not.toContain('canary');
    },
  );
});
