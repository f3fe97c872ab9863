import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { type Answer, httpCall } from '../support/http-call';
import { kubeconfigOf } from '../support/kubeconfig';
import {
  approvalMap,
  installApp,
  manifestMap,
  manifestText,
  namespaceObject,
  OWN_NAMESPACE,
} from '../support/manifest-config-map';
import { AUDIT_SETTINGS, MemoryAuditSink } from '../support/memory.audit-sink';
import { MemorySecretStore } from '../support/memory.secret-store';
import { podToken } from '../support/service-account-tokens';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { userToken } from '../support/tokens';

const HOUR_MS = 3_600_000;
const READ_MAIL = 'RetrieveSecret?workspace=mail';
const SECRET = { name: 'API_KEY', value: 'canary-of-a-value' };

interface Who {
  readonly user?: string;
  /** The ServiceAccount that calls, by its namespace and name. */
  readonly as?: readonly [string, string];
  readonly groups?: readonly string[];
}

/** The whole service as on Olares 1.12.1, with the wiring of its settings: two apps of alice and one of bob. */
describe('apps that bring their manifest in a ConfigMap', () => {
  const dir = mkdtempSync(join(tmpdir(), 'manifest-grants-'));
  let server: FakeApiServer;
  let store: MemorySecretStore;
  let service: Service;
  let auditSink: MemoryAuditSink;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    for (const user of ['alice', 'bob'])
      for (const kind of ['system', 'space'])
        server.of('namespaces').put(namespaceObject(`user-${kind}-${user}`, user));
    installApp(server, { app: 'mail', user: 'alice', ops: ['CreateSecret', 'RetrieveSecret'] });
    const ops = ['CreateSecret', 'RetrieveSecret', 'ListSecret?workspace=notes-desk', READ_MAIL];
    installApp(server, { app: 'notes', user: 'alice', ops });
    installApp(server, { app: 'notes', user: 'bob', ops });
    store = new MemorySecretStore();
    auditSink = new MemoryAuditSink();
    service = await startService(
      { store, auditSink },
      {
        audit: AUDIT_SETTINGS,
        settingsRoutes: 'service-accounts',
        userToken: { ...TEST_SETTINGS.userToken, required: false, adminGroup: 'vault_admins' },
        grants: {
          kind: 'kubernetes',
          feeds: ['manifests'],
          approvalsNamespace: OWN_NAMESPACE,
          environment: { KUBECONFIG: kubeconfigOf(server, dir) },
          maxAgeMs: 600_000,
          audience: 'olares-secret-provider',
          trustedServiceAccounts: [],
          systemServerProof: 'off',
          olares: { release: 'since-1.12.1', leftovers: 'deny' },
          staticGrants: [],
          systemEventServiceAccounts: [],
          settingsServiceAccounts: [{ namespace: 'user-space-<user>', name: 'system-frontend' }],
        },
      },
    );
  });
  afterEach(async () => {
    await service.close();
    await server.stop();
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const tokenOf = (namespace: string, name?: string): string =>
    `Bearer ${podToken(server, { namespace, ...(name !== undefined && { name }), expiresAtMs: Date.now() + HOUR_MS })}`;
  const call = (namespace: string, op: string, body: object): Promise<Answer> =>
    httpCall(`${service.url}/${op}`, { headers: { authorization: tokenOf(namespace) }, body });
  /** Calls as the Settings app of a user, or as what is named in its place. */
  const settings = async (
    path: string,
    body?: object,
    { user = 'alice', as, groups = [] }: Who = {},
  ): Promise<Answer> =>
    httpCall(`${service.url}/admin/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      body,
      headers: {
        authorization: tokenOf(...(as ?? ([`user-space-${user}`, 'system-frontend'] as const))),
        'x-authorization': await userToken(user, Date.now(), { claims: { groups } }),
      },
    });
  const retrieve = (namespace = 'notes-alice') => call(namespace, READ_MAIL, { name: SECRET.name });
  const approval = { workspace: 'mail', operations: 'RetrieveSecret' };

  it('create and read a secret of their own workspace, and nothing that they do not state', async () => {
    expect((await call('notes-alice', 'CreateSecret?workspace=notes', SECRET)).status).toBe(200);
    const read = await call('notes-alice', 'RetrieveSecret?workspace=notes', { name: SECRET.name });
    expect(read.body.data).toMatchObject(SECRET);
    store.calls.splice(0);
    const denied = [
      ['DeleteSecret?workspace=notes', { name: SECRET.name }],
      ['CreateSecret?workspace=notes-desk', SECRET],
      ['ListSecret?workspace=notes', {}],
    ] as const;
    for (const [op, body] of denied) expect((await call('notes-alice', op, body)).status).toBe(403);
    expect(store.calls).toEqual([]);
  });

  it('reach the workspace of another app only once its user approved that in Settings, and no longer than that', async () => {
    expect((await call('mail-alice', 'CreateSecret?workspace=mail', SECRET)).status).toBe(200);
    const refused = await retrieve();
    expect(refused.body).toMatchObject({ code: 403, data: { reason: 'NOT_GRANTED', workspace: 'mail' } });
    expect(refused.body.message).toContain('must approve it first');
    expect((await settings('explain/notes')).body.data).toContainEqual({
      workspace: 'mail',
      operations: [],
      sharedWith: ['mail'],
      usable: false,
      pending: ['RetrieveSecret'],
    });
    const ready = await httpCall(`${service.url}/readyz`, { method: 'GET' });
    expect(ready.body.data).toMatchObject({
      pendingGrants: 2,
      grantFeeds: ['manifests in ConfigMaps'],
      problems: [],
    });
    expect(service.logLines()).toContainEqual(
      expect.objectContaining({
        msg: 'grants_pending',
        user: 'alice',
        app: 'notes',
        grants: [READ_MAIL],
      }),
    );

    const asked = { operation: 'RetrieveSecret', workspace: 'mail' };
    const source = 'ConfigMap notes-alice/olares-manifest';
    expect((await call('notes-alice', 'explain', asked)).body.data).toMatchObject({
      allowed: false,
      decidedBy: 'pending_approval',
      message: refused.body.message,
      statedAt: [{ source, line: 12 }],
    });
    expect((await settings('grants/notes/approve', approval)).body).toMatchObject({ code: 200 });
    await eventually(async () => expect((await retrieve()).status).toBe(200));
    expect((await call('notes-alice', 'explain', asked)).body.data).toMatchObject({
      allowed: true,
      decidedBy: 'approval',
      statedAt: [{ source, line: 12 }],
    });
    expect((await retrieve('notes-bob')).status).toBe(403);
    expect(server.of('configmaps').list(OWN_NAMESPACE)).toEqual([
      expect.objectContaining({ data: { user: 'alice', app: 'notes', ...approval } }),
    ]);

    expect((await settings('grants/notes/revoke', { workspace: 'mail' })).status).toBe(200);
    await eventually(async () => expect((await retrieve()).status).toBe(403));
    expect((await settings('grants/notes/revoke', { workspace: 'mail' })).status).toBe(200);
    expect(service.log()).not.toContain('canary');
  });

  it('leave a record of what was approved and revoked, by whom, for which app, and of what was refused', async () => {
    await settings('grants/notes/approve', approval);
    await settings('grants/notes/revoke', { workspace: 'mail' });
    await settings('grants/notes/approve', { workspace: 'mail', operations: 'DeleteSecret' });
    const admin = { user: 'bob', groups: ['vault_admins'] };
    await settings('grants/notes/approve?user=alice', approval, admin);
    await settings('grants/notes/approve', approval, { as: ['notes-alice', 'default'] });
    const of = { app: 'notes', workspace: 'mail', peer: expect.stringContaining('127.0.0.1') };
    const byAlice = { ...of, user: 'alice', provenBy: ['user_token', 'settings_app'] };
    const records = auditSink.records.filter(({ event }) => event === 'outcome');
    expect(records).toMatchObject([
      { ...byAlice, operation: 'ApproveGrant', outcome: 'allowed', approved: [READ_MAIL] },
      { ...byAlice, operation: 'RevokeGrant', outcome: 'allowed' },
      { ...byAlice, operation: 'ApproveGrant', outcome: 'failed', reason: 'INVALID_REQUEST' },
      { ...of, operation: 'ApproveGrant', outcome: 'allowed', user: 'alice', administrator: 'bob' },
      { operation: 'ApproveGrant', outcome: 'denied', reason: 'NOT_SETTINGS_APP', app: 'notes' },
    ]);
    expect(records[2]).toMatchObject({ approved: ['DeleteSecret?workspace=mail'] });
    expect(records[4]).not.toHaveProperty('user');
  });

  it.each([
    ['approve', approval],
    ['revoke', { workspace: 'mail' }],
  ])('%s nothing whose attempt is not recorded, and nothing without a trace', async (route, body) => {
    if (route === 'revoke') await settings('grants/notes/approve', approval);
    const before = server.of('configmaps').list(OWN_NAMESPACE);
    const act = async () => {
      const { status, body: answer } = await settings(`grants/notes/${route}`, body);
      return [status, answer.data.reason];
    };
    auditSink.records.splice(0);
    auditSink.refuse = () => true;
    expect(await act()).toEqual([503, 'AUDIT_UNAVAILABLE']);
    expect(server.of('configmaps').list(OWN_NAMESPACE)).toEqual(before);
    auditSink.refuse = ({ event }) => event === 'outcome';
    expect(await act()).toEqual([503, 'STORE_OUTCOME_UNKNOWN']);
    expect(server.of('configmaps').list(OWN_NAMESPACE)).not.toEqual(before);
    const attempt = { event: 'attempt', user: 'alice', app: 'notes', workspace: 'mail' };
    expect(auditSink.records).toMatchObject([attempt]);
  });

  it('hold exactly the operations of the latest approval', async () => {
    const all = ['CreateSecret', 'RetrieveSecret'].map((operation) => `${operation}?workspace=mail`);
    server.of('configmaps').put(manifestMap('notes-alice', manifestText('notes', all)));
    await eventually(async () => expect((await settings('explain/notes')).body.data).toHaveLength(1));
    await settings('grants/notes/approve', { workspace: 'mail', operations: 'RetrieveSecret,CreateSecret' });
    await eventually(async () =>
      expect((await call('notes-alice', 'CreateSecret?workspace=mail', SECRET)).status).toBe(200),
    );
    await settings('grants/notes/approve', approval);
    await eventually(async () =>
      expect(
        (await call('notes-alice', 'CreateSecret?workspace=mail', { ...SECRET, name: 'B' })).status,
      ).toBe(403),
    );
    expect((await retrieve()).status).toBe(200);
  });

  it.each([
    ['an operation that is not stated', { workspace: 'mail', operations: 'DeleteSecret' }, 400],
    ['a workspace that is not stated', { workspace: 'mail-x', operations: 'RetrieveSecret' }, 400],
    ['all operations', { workspace: 'mail', operations: '*' }, 400],
    ['operations as a list', { workspace: 'mail', operations: ['RetrieveSecret'] }, 400],
    ['an operation twice over', { workspace: 'mail', operations: 'RetrieveSecret,' }, 400],
    ['a pattern', { workspace: '*', operations: 'RetrieveSecret' }, 400],
    ['another user', { ...approval, user: 'bob' }, 400],
    ['no workspace', { operations: 'RetrieveSecret' }, 400],
  ])('cannot be approved for %s', async (_, body, status) => {
    expect((await settings('grants/notes/approve', body)).status).toBe(status);
    expect(server.of('configmaps').list(OWN_NAMESPACE)).toEqual([]);
  });

  it('are told that no manifest is known where their chart brings none', async () => {
    server.of('namespaces').put(namespaceObject('plain-alice', 'alice'));
    // The namespace is watched, so that the pod is known a moment later.
    await eventually(async () => {
      const { status, body } = await call('plain-alice', 'RetrieveSecret?workspace=plain', {
        name: 'API_KEY',
      });
      expect([status, body.data?.reason]).toEqual([403, 'NOT_GRANTED']);
      expect(body.message).toMatch(/No manifest of this app is known for this user\. .* ConfigMap/);
    });
    const known = await call('notes-alice', 'DeleteSecret?workspace=notes', { name: 'API_KEY' });
    expect(known.body.message).not.toContain('No manifest');
  });

  it('are told the line for which their manifest is refused', async () => {
    const text = manifestText('notes', ['RetrieveSecret']).replace('version: v1', 'version: {{ .v }}');
    server.of('configmaps').put(manifestMap('notes-alice', text));
    const asked = { operation: 'RetrieveSecret', workspace: 'notes' };
    const hint = {
      source: 'ConfigMap notes-alice/olares-manifest',
      line: 7,
      reason: 'the permission block contains a template directive',
    };
    await eventually(async () =>
      expect((await call('notes-alice', 'explain', asked)).body.data).toMatchObject({
        decidedBy: 'no_manifest',
        hints: [hint],
      }),
    );
    // Nobody else is told.
    expect((await call('notes-bob', 'explain', asked)).body.data).not.toHaveProperty('hints');
    expect((await call('mail-alice', 'explain', asked)).body.data.hints).toEqual([]);
  });

  it('cannot be approved where they are not installed', async () => {
    expect((await settings('grants/chat/approve', approval)).status).toBe(403);
    expect((await settings('grants/mail%2Fx/revoke', { workspace: 'mail' })).status).toBe(403);
  });

  it('cannot approve anything themselves, and nobody approves for another user but an administrator', async () => {
    const denied: readonly Who[] = [
      { as: ['notes-alice', 'default'] },
      { as: ['notes-alice', 'system-frontend'] },
      { as: ['user-space-bob', 'system-frontend'] },
      { as: ['user-system-alice', 'user-backend'] },
    ];
    for (const who of denied) {
      expect((await settings('grants/notes/approve', approval, who)).status).toBe(403);
      expect((await settings('grants/notes/revoke', { workspace: 'mail' }, who)).status).toBe(403);
    }
    const bob = { user: 'bob' };
    expect((await settings('grants/notes/approve?user=alice', approval, bob)).status).toBe(403);
    expect(server.of('configmaps').list(OWN_NAMESPACE)).toEqual([]);
    const admin = { user: 'bob', groups: ['vault_admins'] };
    expect((await settings('grants/notes/approve?user=alice', approval, admin)).status).toBe(200);
    expect(server.of('configmaps').list(OWN_NAMESPACE)[0]?.['data']).toMatchObject({ user: 'alice' });
  });

  it('are told apart from an approval that somebody else wrote: only our own namespace counts', async () => {
    const data = { user: 'alice', app: 'notes', workspace: 'mail', operations: 'RetrieveSecret' };
    for (const namespace of ['notes-alice', 'user-space-alice', 'user-system-alice', 'os-framework'])
      server.of('configmaps').put(approvalMap(data, namespace));
    installApp(server, { app: 'chat', user: 'alice', ops: ['ListSecret'] });
    await eventually(async () =>
      expect((await call('chat-alice', 'ListSecret?workspace=chat', {})).status).toBe(200),
    );
    expect((await retrieve()).status).toBe(403);
  });

  it('reach nothing of others by what they write into their own namespace', async () => {
    await call('mail-alice', 'CreateSecret?workspace=mail', SECRET);
    const maps = server.of('configmaps');
    const attempts = [
      manifestMap('notes-alice', manifestText('mail', ['RetrieveSecret'])),
      manifestMap(
        'notes-alice',
        manifestText('notes', ['RetrieveSecret?workspace=mail', 'RetrieveSecret?workspace=mail-']),
      ),
      manifestMap('notes-alice', manifestText('mаil', ['RetrieveSecret'])),
      manifestMap('notes-alice', manifestText('MAIL', ['RetrieveSecret'])),
      manifestMap('notes-alice', manifestText('mail', ['RetrieveSecret']), 'second'),
    ];
    for (const attempt of attempts) {
      maps.put(attempt);
      const { resourceVersion } = maps.get('notes-alice', attempt.metadata.name)!.metadata;
      expect(resourceVersion).toBeDefined();
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const op of [READ_MAIL, 'RetrieveSecret?workspace=mail-', 'RetrieveSecret?workspace=MAIL'])
        expect((await call('notes-alice', op, { name: SECRET.name })).status).toBe(403);
    }
  });

  it('lose with their namespace what the user approved, and not what the operator wrote', async () => {
    const maps = server.of('configmaps');
    await settings('grants/notes/approve', approval);
    const byOperator = { user: 'alice', app: 'notes', workspace: 'chat', operations: 'RetrieveSecret' };
    maps.put(approvalMap(byOperator));
    await settings('grants/notes/approve', approval, { user: 'bob' });
    await eventually(async () => expect((await retrieve()).status).toBe(404));
    maps.delete('notes-alice', 'olares-manifest');
    server.of('namespaces').delete(undefined, 'notes-alice');
    await eventually(() =>
      expect(maps.list(OWN_NAMESPACE).map(({ data }) => data)).toEqual(
        expect.arrayContaining([byOperator, { user: 'bob', app: 'notes', ...approval }]),
      ),
    );
    await eventually(() => expect(maps.list(OWN_NAMESPACE)).toHaveLength(2));
    const revoked = () => service.logLines().filter(({ msg }) => msg === 'grant_revoked');
    const ofMail = expect.objectContaining({ user: 'alice', app: 'notes', workspace: 'mail' });
    await eventually(() => expect(revoked()).toEqual([ofMail]));
    installApp(server, { app: 'notes', user: 'alice', ops: [READ_MAIL] });
    await eventually(async () => expect((await settings('explain/notes')).body.data).toHaveLength(1));
    expect((await retrieve()).status).toBe(403);
    expect((await retrieve('notes-bob')).status).toBe(404);
  });

  it('say to the user that an approval was not stored where the API server refuses it', async () => {
    server.refusingWrites = () => ({ status: 403, reason: 'Forbidden' });
    const answer = await settings('grants/notes/approve', approval);
    expect(answer.body).toMatchObject({ code: 503, data: { reason: 'GRANTS_UNAVAILABLE' } });
    expect(answer.body.message).toBe(
      'The approval was not stored, or its withdrawal (403 Forbidden); try again.',
    );
  });
});
