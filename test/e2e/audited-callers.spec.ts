import type { Settings } from '../../src/config/settings';
import { ClusterService, PEERS, PROXY_REQUEST } from '../support/cluster-service';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import { type Call, httpCall } from '../support/http-call';
import { AUDIT_SETTINGS, MemoryAuditSink } from '../support/memory.audit-sink';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const FRONTEND = { namespace: 'user-space-<user>', name: 'system-frontend' };
const INTEGRATION = { namespace: 'os-protected', name: 'infisical-sa' };
const EVENTS = { namespace: 'os-framework', name: 'app-service' };
const AT = { frontend: '127.0.1.1', integration: '127.0.1.2' } as const;

const SETTINGS: Partial<Settings> = {
  audit: AUDIT_SETTINGS,
  rbacProxy: 'service-accounts',
  settingsRoutes: 'service-accounts',
  userToken: { secret: USER_TOKEN_SECRET, required: false, adminGroup: 'vault_admins' },
  grants: {
    kind: 'kubernetes',
    feeds: ['application-permissions'],
    environment: {},
    maxAgeMs: 600_000,
    audience: 'a',
    trustedServiceAccounts: [],
    systemServerProof: 'address',
    systemEventServiceAccounts: [EVENTS],
    settingsServiceAccounts: [FRONTEND],
    olares: { release: 'up-to-1.12.0', leftovers: 'deny' },
    staticGrants: [
      {
        account: INTEGRATION,
        userFrom: 'X-BFL-USER',
        userTokenRequired: false,
        responseStyle: 'sidecar',
        workspaces: ['settings'],
        operations: ['ListSecret'],
      },
    ],
  },
};

/** The cluster's own ways to prove who calls; each record says which one it was, and from which address. */
describe('a record says who called and how that was proven', () => {
  const sink = new MemoryAuditSink();
  const deletionJobs = new MemoryDeletionJobStorage();
  let cluster: ClusterService;
  let alice: string;
  let carol: string;
  let pod: string;
  beforeAll(async () => {
    cluster = await ClusterService.start(SETTINGS, [FRONTEND], 'address', { auditSink: sink, deletionJobs });
    const { server, clock } = cluster;
    server.of('namespaces').put({ metadata: { name: 'os-protected' } });
    for (const [ip, namespace, serviceAccountName] of [
      [AT.integration, INTEGRATION.namespace, INTEGRATION.name],
      [AT.frontend, 'user-space-alice', FRONTEND.name],
    ] as const) {
      server.of('pods').put({
        metadata: { name: `p-${ip}`, namespace },
        spec: { serviceAccountName },
        status: { phase: 'Running', podIPs: [{ ip }] },
      });
    }
    alice = await userToken('alice', clock.nowMs());
    carol = await userToken('carol', clock.nowMs(), { claims: { groups: ['vault_admins'] } });
    pod = `Bearer ${cluster.token('otmoiclp-alice')}`;
    const { peerVerifier: peers } = cluster.service.adapters;
    await eventually(async () => {
      const account = await peers?.staticAccountOf({ address: AT.integration, bearer: undefined });
      const settings = await peers?.provesSettings({ address: AT.frontend, bearer: undefined }, 'alice');
      expect([account, settings]).toEqual([INTEGRATION, true]);
    });
  });
  afterAll(() => cluster.close());
  beforeEach(() => {
    sink.records.splice(0);
    sink.refuse = () => false;
  });

  const from = (address: string) => ({ peer: expect.stringContaining(address), event: 'outcome' });
  const LIST = 'ListSecret?workspace=otmoic';
  const APP = { operation: 'ListSecret', app: 'otmoiclp', user: 'alice', workspace: 'otmoic' };
  const ALLOWED = { ...APP, outcome: 'allowed', grants: [LIST] };
  const browser = (token: string) => ({ cookie: `auth_token=${token}`, host: 'h', origin: 'https://h' });
  const SETTINGS_APP = { outcome: 'allowed', operation: 'ListAppSecrets', app: 'otmoiclp', user: 'alice' };

  const cases: readonly [string, string, () => Call & { readonly from: string }, object][] = [
    ["a pod's ServiceAccount token", LIST, () => ({ from: PEERS.nobody, headers: { authorization: pod } }), { ...ALLOWED, provenBy: ['service_account'] }],
    ["the same with the user's token", LIST, () => ({ from: PEERS.nobody, headers: { authorization: pod, 'x-authorization': alice } }), { ...ALLOWED, provenBy: ['user_token', 'service_account'] }],
    ["system-server's ProxyRequest", 'ListSecret', () => ({ from: PEERS.alicesSystemServer, headers: { 'x-bfl-user': 'alice' }, body: PROXY_REQUEST }), { ...ALLOWED, provenBy: ['proxy_request'] }],
    ["a ProxyRequest with the user's token", 'ListSecret', () => ({ from: PEERS.alicesSystemServer, headers: { 'x-bfl-user': 'alice', 'x-authorization': alice }, body: PROXY_REQUEST }), { ...ALLOWED, provenBy: ['proxy_request', 'user_token'] }],
    ['a ProxyRequest of somebody else', LIST, () => ({ from: PEERS.nobody, headers: { 'x-bfl-user': 'alice' }, body: PROXY_REQUEST }), { operation: 'ListSecret', outcome: 'denied', reason: 'UNAUTHENTICATED', provenBy: undefined, user: undefined, app: undefined }],
    ['the RBAC proxy', LIST, () => ({ from: PEERS.trustedProxy, headers: { 'x-bfl-user': 'alice', 'x-remote-user': 'system:serviceaccount:otmoiclp-alice:default' } }), { ...ALLOWED, provenBy: ['rbac_proxy'] }],
    ['the RBAC proxy for an app without the grant', LIST, () => ({ from: PEERS.trustedProxy, headers: { 'x-bfl-user': 'alice', 'x-remote-user': 'system:serviceaccount:reader-alice:default' } }), { ...APP, app: 'reader', outcome: 'denied', reason: 'NOT_GRANTED', provenBy: ['rbac_proxy'], grants: undefined }],
    ["Olares' own caller, by a static grant", 'ListSecret?workspace=settings', () => ({ from: AT.integration, headers: { 'x-bfl-user': 'alice' } }), { outcome: 'allowed', user: 'alice', provenBy: ['static_grant'], workspace: 'settings', grants: ['ListSecret?workspace=settings'] }],
    ['a refusal of it, which is answered with HTTP 200', LIST, () => ({ from: AT.integration, headers: { 'x-bfl-user': 'alice' } }), { outcome: 'denied', reason: 'NOT_GRANTED', user: 'alice', provenBy: ['static_grant'], workspace: 'otmoic' }],
    ["Settings with the user's token", 'admin/secret/otmoiclp', () => ({ method: 'GET', from: AT.frontend, headers: { 'x-authorization': alice } }), { ...SETTINGS_APP, provenBy: ['user_token', 'settings_app'] }],
    ['Settings with the login cookie', 'admin/secret/otmoiclp', () => ({ method: 'GET', from: AT.frontend, headers: browser(alice) }), { ...SETTINGS_APP, provenBy: ['login_cookie', 'settings_app'] }],
    ['the cookie from another site', 'admin/secret/otmoiclp', () => ({ method: 'GET', from: AT.frontend, headers: { ...browser(alice), origin: 'https://evil' } }), { operation: 'ListAppSecrets', outcome: 'denied', reason: 'CROSS_SITE_REQUEST', user: undefined, provenBy: undefined }],
    ['a user without Settings', 'admin/secret/otmoiclp', () => ({ method: 'GET', from: PEERS.nobody, headers: { 'x-authorization': alice } }), { operation: 'ListAppSecrets', outcome: 'denied', reason: 'NOT_SETTINGS_APP', user: undefined }],
    ["a write of Settings' that stands for an attempt and an outcome", 'admin/secret/otmoiclp', () => ({ from: AT.frontend, headers: { 'x-authorization': alice }, body: { Key: 'a', Value: 'v' } }), { ...SETTINGS_APP, operation: 'CreateAppSecret', name: 'a', workspace: 'otmoic', valueMac: expect.any(String) }],
    ['an event of a sender who is proven', 'user/create', () => ({ from: PEERS.nobody, headers: { authorization: `Bearer ${cluster.token(EVENTS.namespace, { name: EVENTS.name })}` }, body: { name: 'dave' } }), { operation: 'UserCreated', outcome: 'allowed', user: 'dave', provenBy: ['event_sender'] }],
    ['an event of a pod that may report none', 'user/delete', () => ({ from: PEERS.nobody, headers: { authorization: pod }, body: { name: 'dave' } }), { operation: 'UserDeleted', outcome: 'denied', reason: 'UNAUTHENTICATED', provenBy: undefined }],
  ]; // prettier-ignore
  it.each(cases)('for %s', async (_what, target, call, expected) => {
    const sent = call();
    await httpCall(`${cluster.url}/${target}`, { body: sent.method === 'GET' ? undefined : {}, ...sent });
    const outcomes = sink.records.filter(({ event }) => event === 'outcome');
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]).toMatchObject({ ...from(sent.from), ...definedIn(expected) });
    for (const [field, value] of Object.entries(expected))
      if (value === undefined) expect(outcomes[0]).not.toHaveProperty(field);
  });

  it.each([
    ['UserCreated', 'user/create'],
    ['UserDeleted', 'user/delete'],
  ])('as an attempt too of %s, before anything is done about it', async (operation, target) => {
    const authorization = `Bearer ${cluster.token(EVENTS.namespace, { name: EVENTS.name })}`;
    const send = async () => {
      const call = { from: PEERS.nobody, headers: { authorization }, body: { name: 'erin' } };
      const { status, body } = await httpCall(`${cluster.url}/${target}`, call);
      return [status, body.data.reason];
    };
    sink.refuse = () => true;
    expect(await send()).toEqual([503, 'AUDIT_UNAVAILABLE']);
    expect(deletionJobs.calls).not.toContain('create');
    sink.refuse = ({ event }) => event === 'outcome';
    expect(await send()).toEqual([503, 'STORE_OUTCOME_UNKNOWN']);
    expect(sink.records).toMatchObject([
      { event: 'attempt', operation, user: 'erin', provenBy: ['event_sender'] },
    ]);
  });

  it('for an administrator who acts for another user', async () => {
    const headers = {
      'x-authorization': carol,
      authorization: `Bearer ${cluster.token('user-space-carol', { name: FRONTEND.name })}`,
    };
    await httpCall(`${cluster.url}/admin/explain/otmoiclp?user=alice`, { method: 'GET', headers });
    expect(sink.records).toMatchObject([
      {
        operation: 'ExplainGrants',
        outcome: 'allowed',
        user: 'alice',
        administrator: 'carol',
        app: 'otmoiclp',
      },
    ]);
  });

  it('without any token or key that was sent', async () => {
    const access = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, cluster.clock.nowMs());
    const headers = { 'x-authorization': alice, 'x-access-token': access, authorization: pod };
    await httpCall(`${cluster.url}/${LIST}`, { headers, body: {} });
    await httpCall(`${cluster.url}/ListSecret`, {
      from: PEERS.alicesSystemServer,
      headers: { 'x-bfl-user': 'alice', 'x-authorization': alice },
      body: PROXY_REQUEST,
    });
    expect(sink.records[0]).toMatchObject({ provenBy: ['user_token', 'access_token', 'service_account'] });
    const text = JSON.stringify(sink.records);
    for (const secret of [alice, access, pod.slice(7), OTMOICLP.appKey]) expect(text).not.toContain(secret);
  });
});

function definedIn(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
