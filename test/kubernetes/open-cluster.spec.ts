import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Adapters } from '../../src/bootstrap/open-adapters';
import type { Settings } from '../../src/config/settings';
import { openAdapters } from '../../src/bootstrap/open-adapters';
import { permissionOf } from '../support/application-permission';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { podToken } from '../support/service-account-tokens';
import { TEST_SETTINGS } from '../support/service';
import type { Logged } from './mirror';

const NOTES = { app: 'notes', user: 'alice', appKey: 'k', appSecret: 's', ops: ['ListSecret'] };

/** The client library finds the cluster, trusts its CA and signs our requests: nothing of it is replaced here. */
describe('the adapters of a cluster', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cluster-'));
  const kubeconfig = process.env['KUBECONFIG'];
  let server: FakeApiServer;
  let adapters: Adapters | undefined;
  let logged: Logged[];

  // Some thousand files of the library are transpiled where jest has no cache of them yet.
  beforeAll(async () => void (await import('@kubernetes/client-node')), 240_000);
  beforeAll(async () => {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const request = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=kubernetes',
    ];
    const options = { stdio: 'ignore' } as const;
    execFileSync(
      'openssl',
      [...request, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
      options,
    );
    server = await FakeApiServer.start({ key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') });
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
    process.env['KUBECONFIG'] = join(dir, 'config');
  });
  const closeAll = async () => {
    await adapters?.registration?.close();
    await adapters?.grantSource.close();
    await adapters?.closeCluster?.();
    await adapters?.store.close();
    adapters = undefined;
  };
  afterEach(closeAll);
  afterAll(async () => {
    if (kubeconfig === undefined) delete process.env['KUBECONFIG'];
    else process.env['KUBECONFIG'] = kubeconfig;
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  const byProvider = () => ({
    'auth-provider': { name: 'tokenFile', config: { tokenFile: join(dir, 'token') } },
  });
  const open = async (
    trustIt = true,
    more: Partial<Settings['grants']> = {},
    user: object = byProvider(),
  ): Promise<Adapters> => {
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, `${server.token}\n`);
    const ca = trustIt ? { 'certificate-authority': join(dir, 'cert.pem') } : {};
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: [{ name: 'here', cluster: { server: server.url, ...ca } }],
      contexts: [{ name: 'here', context: { cluster: 'here', user: 'us' } }],
      users: [{ name: 'us', user }],
    };
    writeFileSync(join(dir, 'config'), JSON.stringify(config));
    logged = [];
    const settings: Settings = {
      ...TEST_SETTINGS,
      store: {
        kind: 'embedded',
        dataDir: mkdtempSync(join(dir, 'data-')),
        maxDiskReserveBytes: 0,
        masterKey: Buffer.alloc(32, 1),
      },
      grants: {
        kind: 'kubernetes',
        maxAgeMs: 600_000,
        audience: 'olares-secret-provider',
        trustedServiceAccounts: [],
        systemEventServiceAccounts: [],
        settingsServiceAccounts: [],
        ...more,
      } as Settings['grants'],
    };
    adapters = await openAdapters(settings, (level, event, fields) =>
      logged.push({ level, event, ...fields }),
    );
    return adapters;
  };

  it('know grants, pods and peers over TLS with a CA and a token from a file', async () => {
    const { grantSource, serviceAccounts, peerVerifier } = await open();
    expect(grantSource.status()).toEqual({ ready: true, installedApps: 1, problems: [] });
    await eventually(() => expect(peerVerifier?.provesSystemServer('10.0.0.1', 'alice')).toBe(true));
    const token = podToken(server, { namespace: 'notes-alice', expiresAtMs: Date.now() + 60_000 });
    await eventually(() => expect(server.watches.size).toBe(3));
    expect(await serviceAccounts?.authenticate(token, undefined)).toMatchObject({
      app: 'notes',
      user: 'alice',
    });
    server.of('applicationpermissions').delete('user-system-alice', 'notes');
    await eventually(() => expect(grantSource.find('alice', 'notes')).toBeUndefined(), 1000);
    expect(JSON.stringify(logged)).not.toContain('canary');
  });

  it('know the pods of the configured ServiceAccounts, each for what it may', async () => {
    for (const [name, ip] of Object.entries({ proxy: '10.0.0.2', events: '10.0.0.3' })) {
      server.of('pods').put({
        metadata: { name, namespace: 'os-framework' },
        spec: { serviceAccountName: name },
        status: { phase: 'Running', podIPs: [{ ip }] },
      });
    }
    const { peerVerifier } = await open(true, {
      trustedServiceAccounts: [{ namespace: 'os-framework', name: 'proxy' }],
      systemEventServiceAccounts: [{ namespace: 'os-framework', name: 'events' }],
    });
    await eventually(() => expect(server.watches.size).toBe(4));
    const at = (address: string) => ({ address, bearer: undefined });
    expect(await peerVerifier?.provesTrustedFor(at('10.0.0.2'), 'alice')).toBe(true);
    expect(await peerVerifier?.provesTrustedFor(at('10.0.0.3'), 'alice')).toBe(false);
    expect(await peerVerifier?.provesEventSender(at('10.0.0.3'))).toBe(true);
    expect(await peerVerifier?.provesEventSender(at('10.0.0.2'))).toBe(false);
  });

  it('register the service only where its address is given, and not before it is told to', async () => {
    const registered = () => server.of('syseventregistries').list().length;
    expect((await open()).registration).toBeUndefined();
    await closeAll();
    const { registration } = await open(true, {
      providerEndpoint: { service: 'secrets', namespace: 'os-secrets', port: 8080 },
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(registered()).toBe(0);
    registration?.start();
    await eventually(() => expect(registered()).toBe(2));
  });

  it('say so where the service is registered for system events that nobody may tell', async () => {
    const providerEndpoint = { service: 'secrets', namespace: 'os-secrets', port: 8080 };
    const said = expect.stringMatching(/SYSTEM_EVENT_SERVICE_ACCOUNTS is unset/);
    expect((await open(true, { providerEndpoint })).problems?.()).toContainEqual(said);
    await closeAll();
    const systemEventServiceAccounts = [{ namespace: 'os-framework', name: 'tapr-sysevent' }];
    const { problems } = await open(true, { providerEndpoint, systemEventServiceAccounts });
    expect(problems?.()).not.toContainEqual(said);
  });

  it.each<[string, object]>([
    ['relative to the kubeconfig, as kubectl takes it', { tokenFile: 'token' }],
    ['before a token that is there too', { tokenFile: join(dir, 'token'), token: 'canary-old' }],
  ])('send the token of a tokenFile: %s', async (_how, user) => {
    const { grantSource } = await open(true, {}, user);
    expect(grantSource.status()).toMatchObject({ ready: true });
  });

  it('trust no server that the CA does not vouch for', async () => {
    const before = server.requests.length;
    const { grantSource } = await open(false);
    expect(grantSource.status().ready).toBe(false);
    expect(server.requests).toHaveLength(before);
    expect(logged).toContainEqual(expect.objectContaining({ reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' }));
    expect(JSON.stringify(logged)).not.toContain('canary');
  });
});
