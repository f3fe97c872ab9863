import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestingModule } from '@nestjs/testing';
import { PeerVerifier } from '../../src/authn/peer-verifier';
import { ServiceAccountAuthenticator } from '../../src/authn/caller';
import { GrantSource } from '../../src/authz/grant-source';
import type { Settings } from '../../src/config/settings';
import { ServiceProblems } from '../../src/http/controllers/health.controller';
import { Registration } from '../../src/registration/registered-objects';
import { permissionOf } from '../support/application-permission';
import { TestAuthority } from '../support/certificates';
import { managerOf, US } from '../support/application-manager';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { podToken } from '../support/service-account-tokens';
import { openModules } from '../support/service';

const NOTES = { app: 'notes', user: 'alice', appKey: 'k', appSecret: 's', ops: ['ListSecret'] };

/** The kubeconfig is a real one, and TLS is spoken: nothing of it is replaced here. */
const REGISTRATION = {
  kind: 'provider-registry',
  providerName: 'secret-provider',
  endpoint: { service: 'secrets', namespace: 'os-secrets', port: 8080 },
} as const;

describe('the adapters of a cluster', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cluster-'));
  let server: FakeApiServer;
  let module: TestingModule | undefined;
  let log: () => string;

  beforeAll(async () => {
    const authority = new TestAuthority();
    writeFileSync(join(dir, 'ca.pem'), authority.cert);
    server = await FakeApiServer.start(authority.certificateFor('127.0.0.1'));
    server.of('applicationpermissions').put(permissionOf(NOTES, 'notes'));
    server
      .of('namespaces')
      .put({ metadata: { name: 'notes-alice', labels: { 'bytetrade.io/ns-owner': 'alice' } } });
    server.of('endpointslices').put({
      metadata: {
        name: 's',
        namespace: 'user-system-alice',
        labels: { 'kubernetes.io/service-name': 'system-server' },
      },
      endpoints: [{ addresses: ['10.0.0.1'] }],
    });
  });
  const closeAll = async () => {
    await module?.close();
    module = undefined;
  };
  afterEach(closeAll);
  afterAll(async () => {
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  const open = async (
    trustIt = true,
    more: Partial<Settings['grants']> = {},
    user: object = { tokenFile: 'token' },
  ) => {
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, `${server.token}\n`);
    const ca = trustIt ? { 'certificate-authority': join(dir, 'ca.pem') } : {};
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: [{ name: 'here', cluster: { server: server.url, ...ca } }],
      contexts: [{ name: 'here', context: { cluster: 'here', user: 'us' } }],
      users: [{ name: 'us', user }],
    };
    writeFileSync(join(dir, 'config'), JSON.stringify(config));
    const settings: Partial<Settings> = {
      store: {
        kind: 'embedded',
        dataDir: mkdtempSync(join(dir, 'data-')),
        maxDiskReserveBytes: 0,
        masterKey: Buffer.alloc(32, 1),
      },
      grants: {
        kind: 'kubernetes',
        feeds: ['application-permissions'],
        environment: { KUBECONFIG: join(dir, 'config') },
        maxAgeMs: 600_000,
        audience: 'olares-secret-provider',
        trustedServiceAccounts: [],
        systemServerProof: 'address',
        systemEventServiceAccounts: [],
        settingsServiceAccounts: [],
        olares: { release: 'up-to-1.12.0', leftovers: 'deny' },
        staticGrants: [],
        ...more,
      } as Settings['grants'],
    };
    const opened = await openModules({}, settings);
    ({ module, log } = opened);
    return {
      grantSource: opened.module.get(GrantSource),
      serviceAccounts: opened.module.get<ServiceAccountAuthenticator | undefined>(
        ServiceAccountAuthenticator,
      ),
      peerVerifier: opened.module.get(PeerVerifier),
      registration: opened.module.get<Registration | undefined>(Registration),
      problems: () => opened.module.get(ServiceProblems).sentences(),
    };
  };

  it('find grants, pods and peers over TLS with a CA and a token from a file', async () => {
    const { grantSource, serviceAccounts, peerVerifier } = await open();
    expect(grantSource.status()).toMatchObject({ ready: true, installedApps: 1, problems: [] });
    await eventually(() => expect(peerVerifier.provesSystemServer('10.0.0.1', 'alice')).toBe(true));
    const token = podToken(server, { namespace: 'notes-alice', expiresAtMs: Date.now() + 60_000 });
    await eventually(() => expect(server.watches.size).toBe(4));
    expect(await serviceAccounts?.authenticate(token, undefined)).toMatchObject({
      app: 'notes',
      user: 'alice',
    });
    server.of('applicationpermissions').delete('user-system-alice', 'notes');
    await eventually(() => expect(grantSource.find('alice', 'notes')).toBeUndefined());
    expect(log()).not.toContain('canary');
  });

  it('verify the pods of the configured ServiceAccounts, each for its purpose', async () => {
    for (const [name, ip] of Object.entries({ proxy: '10.0.0.2', events: '10.0.0.3' })) {
      server.of('pods').put({
        metadata: { name, namespace: 'os-framework' },
        spec: { serviceAccountName: name },
        status: { phase: 'Running', podIPs: [{ ip }] },
      });
    }
    const { peerVerifier } = await open(true, {
      trustedServiceAccounts: [{ namespace: 'os-framework', name: 'proxy' }],
      systemServerProof: 'address',
      systemEventServiceAccounts: [{ namespace: 'os-framework', name: 'events' }],
    });
    await eventually(() => expect(server.watches.size).toBe(5));
    const at = (address: string) => ({ address, bearer: undefined });
    expect(await peerVerifier.provesTrustedFor(at('10.0.0.2'), 'alice')).toBe(true);
    expect(await peerVerifier.provesTrustedFor(at('10.0.0.3'), 'alice')).toBe(false);
    expect(await peerVerifier.provesEventSender(at('10.0.0.3'))).toBe(true);
    expect(await peerVerifier.provesEventSender(at('10.0.0.2'))).toBe(false);
  });

  it('register the service only where its address is configured, and not before they are started', async () => {
    const registered = () => server.of('syseventregistries').list().length;
    expect((await open()).registration).toBeUndefined();
    await closeAll();
    const { registration } = await open(true, {
      registration: REGISTRATION,
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(registered()).toBe(0);
    registration?.start();
    await eventually(() => expect(registered()).toBe(2));
  });

  it('report that the service is registered for system events that nobody may send', async () => {
    const said = expect.stringMatching(/SYSTEM_EVENT_SERVICE_ACCOUNTS is unset/);
    expect((await open(true, { registration: REGISTRATION })).problems()).toContainEqual(said);
    await closeAll();
    const systemEventServiceAccounts = [{ namespace: 'os-framework', name: 'tapr-sysevent' }];
    const { problems } = await open(true, { registration: REGISTRATION, systemEventServiceAccounts });
    expect(problems()).not.toContainEqual(said);
  });

  it('trust no server whose certificate is not signed by the CA', async () => {
    const before = server.requests.length;
    const { grantSource } = await open(false);
    expect(grantSource.status().ready).toBe(false);
    expect(server.requests).toHaveLength(before);
    expect(log()).toContain('"reason":"UNABLE_TO_VERIFY_LEAF_SIGNATURE"');
    expect(log()).not.toContain('canary');
  });

  it('says at the start and in readiness what does not go with Olares 1.12.1 and later', async () => {
    const annotations = { 'provider-registry-ref': 'user-system-alice/secret' };
    server.of('clusterroles').put({ metadata: { name: 'of-olares', annotations } });
    server.of('applicationpermissions').put(permissionOf(NOTES, 'notes'));
    const olares = { release: 'auto', leftovers: 'deny' } as const;
    const { problems, grantSource } = await open(true, { olares });
    expect(grantSource.status()).toMatchObject({ olares: 'since-1.12.1', feeds: ['ApplicationPermissions'] });
    const said = [
      expect.stringContaining('set USER_TOKEN_REQUIRED=false'),
      expect.stringContaining('set SYSTEM_SERVER_PROOF=off'),
    ];
    expect(problems()).toEqual(said);
    expect(log().match(/"problem":"[^"]*","msg":"settings_problem"/g)).toEqual(said);
    // The app's permission is what an earlier Olares left behind.
    expect(grantSource.status().problems).toEqual([
      expect.objectContaining({ reason: expect.stringMatching(/^leftover/) as string }),
    ]);
  });

  it('reads permission.provider where PERMISSION_PROVIDER is set, and then asks for the settings of 1.12 too', async () => {
    server.of('applicationmanagers').put(managerOf({ app: 'mail', user: 'alice' }));
    const { problems, grantSource } = await open(true, {
      systemServerProof: 'off',
      olares: { release: 'up-to-1.12.0', leftovers: 'deny', provider: US },
    });
    expect(grantSource.find('alice', 'mail')?.grants.has('ListSecret?workspace=mail')).toBe(true);
    expect(problems()).toEqual([expect.stringContaining('set USER_TOKEN_REQUIRED=false')]);
  });

  it('gives no app by its name a workspace of STATIC_GRANTS', async () => {
    server.of('applicationmanagers').put(managerOf({ app: 'settings', user: 'alice' }));
    const { grantSource } = await open(true, {
      olares: { release: 'up-to-1.12.0', leftovers: 'deny', provider: US },
      staticGrants: [
        {
          account: { namespace: 'user-space-<user>', name: 'system-frontend' },
          userFrom: 'namespace',
          userTokenRequired: true,
          workspaces: ['settings'],
          operations: ['ListSecret'],
        },
      ],
    });
    expect(grantSource.find('alice', 'settings')).toBeUndefined();
    expect(grantSource.status().problems).toHaveLength(1);
  });

  it.each(['settings', 'dashboard'])(
    'gives an app called %s no workspace of that name, whether or not STATIC_GRANTS has it',
    async (app) => {
      server.of('applicationmanagers').put(managerOf({ app, user: 'alice' }));
      const { grantSource } = await open(true, {
        olares: { release: 'up-to-1.12.0', leftovers: 'deny', provider: US },
      });
      expect(grantSource.find('alice', app)).toBeUndefined();
      const reason = `the workspace ${app} is kept for Olares' own callers`;
      expect(grantSource.status().problems).toContainEqual(expect.objectContaining({ reason }));
    },
  );
});
