import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidSettings, loadSettings } from '../../src/config/settings';
import { withDevelopmentCredentials } from '../../src/development/development';
import { TestAuthority } from '../support/certificates';

const ORGANIZATION = '334e1428-3927-4c1d-b618-16bced09bd25';
const GOOD = {
  GRANTS_DIR: '/apps',
  DATA_DIR: '/data',
  MASTER_KEY: 'm'.repeat(32),
  USER_TOKEN_SECRET: 'u'.repeat(64),
  ACCESS_TOKEN_KEY: 'a'.repeat(32),
};

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
  try {
    loadSettings(env);
    return [];
  } catch (error: unknown) {
    if (error instanceof InvalidSettings) return error.problems;
    throw error;
  }
}

const CACHE = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 10_000, maxBytes: 32 * 1024 * 1024 };

describe('the settings', () => {
  const dir = mkdtempSync(join(tmpdir(), 'settings-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };

  it('have defaults for everything but keys and folders', () => {
    expect(loadSettings(GOOD)).toEqual({
      host: '127.0.0.1',
      port: 8080,
      logLevel: 'info',
      logFormat: 'auto',
      shutdownTimeoutMs: 10_000,
      responseStyle: 'documented',
      apiDocs: true,
      grants: { kind: 'directory', dir: '/apps' },
      workspaceSharing: 'allow',
      rbacProxy: 'off',
      settingsRoutes: 'off',
      limits: {
        rates: {
          app: { read: { perSecond: 200, burst: 400 }, write: { perSecond: 20, burst: 100 } },
          user: { read: { perSecond: 500, burst: 1000 }, write: { perSecond: 50, burst: 200 } },
        },
        maxInFlight: 500,
        maxLoopDelayMs: 500,
      },
      quotas: {
        workspace: { secrets: 1_000, bytes: 4 * 1024 * 1024 },
        user: { secrets: 10_000, bytes: 64 * 1024 * 1024 },
      },
      userToken: { secret: Buffer.from(GOOD.USER_TOKEN_SECRET), required: true },
      accessTokenKey: Buffer.from(GOOD.ACCESS_TOKEN_KEY),
      store: {
        kind: 'embedded',
        dataDir: '/data',
        masterKey: Buffer.from(GOOD.MASTER_KEY),
        maxDiskReserveBytes: 64 * 1024 * 1024,
      },
      credentialFiles: {},
    });
  });

  it.each([
    ['0', 0],
    ['16', 16 * 1024 * 1024],
  ])('take a disk reserve of %s MiB', (DISK_RESERVE_MIB, maxDiskReserveBytes) => {
    expect(loadSettings({ ...GOOD, DISK_RESERVE_MIB }).store).toMatchObject({ maxDiskReserveBytes });
    expect(() => loadSettings({ ...GOOD, DISK_RESERVE_MIB: '1.5' })).toThrow('DISK_RESERVE_MIB');
  });

  it('take quotas as whole numbers, and 0 for none', () => {
    const none = {
      QUOTA_WORKSPACE_SECRETS: '0',
      QUOTA_WORKSPACE_MIB: '0',
      QUOTA_USER_SECRETS: '7',
      QUOTA_USER_MIB: '2',
    };
    expect(loadSettings({ ...GOOD, ...none }).quotas).toEqual({
      workspace: { secrets: Infinity, bytes: Infinity },
      user: { secrets: 7, bytes: 2 * 1024 * 1024 },
    });
    for (const wrong of ['-1', '1.5', 'many', '1e3'])
      expect(problemsOf({ ...GOOD, QUOTA_USER_SECRETS: wrong })).toEqual([
        'QUOTA_USER_SECRETS must be a whole number from 0 to 100000000',
      ]);
  });

  it.each(['my-org', '64d1f0c2a3b4c5d6e7f80912', `${ORGANIZATION}x`])(
    'take no name or slug for the organization (%s), and do not repeat it',
    (wrong) => {
      const { MASTER_KEY: _, ...env } = GOOD;
      const infisical = {
        INFISICAL_URL: 'https://i.example',
        INFISICAL_CLIENT_ID: 'i',
        INFISICAL_CLIENT_SECRET: 's',
      };
      expect(problemsOf({ ...env, ...infisical, INFISICAL_ORGANIZATION_ID: wrong })).toEqual([
        'INFISICAL_ORGANIZATION_ID must be the id of an organization, a UUID, not its name or slug',
      ]);
    },
  );

  it('choose Infisical by three variables', () => {
    const { MASTER_KEY: _, ...env } = GOOD;
    const infisical = {
      INFISICAL_URL: 'https://infisical.example/',
      INFISICAL_CLIENT_ID: 'id',
      INFISICAL_CLIENT_SECRET: 's',
    };
    expect(
      loadSettings({ ...env, ...infisical, INFISICAL_ORGANIZATION_ID: ORGANIZATION.toUpperCase() }).store,
    ).toEqual({
      kind: 'infisical',
      url: 'https://infisical.example',
      clientId: 'id',
      clientSecret: 's',
      organizationId: ORGANIZATION,
      timeoutMs: 20_000,
      cache: CACHE,
    });
  });

  it('switch the cache off by a time to live of 0', () => {
    const env = {
      ...GOOD,
      INFISICAL_URL: 'https://i.example',
      INFISICAL_CLIENT_ID: 'i',
      INFISICAL_CLIENT_SECRET: 's',
    };
    expect(loadSettings({ ...env, CACHE_TTL_MS: '0' }).store).not.toHaveProperty('cache');
    expect(loadSettings({ ...env, CACHE_MAX_MIB: '1' }).store).toMatchObject({
      cache: { maxBytes: 1_048_576 },
    });
  });

  it('bound requests by a rate and a burst, by a rate alone, or not at all', () => {
    const appReads = (rate: string) =>
      loadSettings({ ...GOOD, RATE_LIMIT_APP_READS: rate }).limits.rates.app.read;
    expect(appReads('10:30')).toEqual({ perSecond: 10, burst: 30 });
    expect(appReads('10')).toEqual({ perSecond: 10, burst: 20 });
    expect(appReads('0.1')).toEqual({ perSecond: 0.1, burst: 1 });
    expect(appReads('0')).toBeUndefined();
    expect(loadSettings({ ...GOOD, MAX_EVENT_LOOP_DELAY_MS: '0' }).limits).not.toHaveProperty(
      'maxLoopDelayMs',
    );
    for (const rate of ['ten', '-1', '10:0', '0:5', '10:', ':10', '1e3', '10:1.5']) {
      expect(() => appReads(rate)).toThrow(/RATE_LIMIT_APP_READS must be <per second>/);
    }
  });

  it('choose Kubernetes Auth by the identity id alone, and never both ways to log in', () => {
    const { MASTER_KEY: _, ...env } = GOOD;
    const kubernetes = {
      INFISICAL_URL: 'https://infisical.example',
      INFISICAL_KUBERNETES_IDENTITY_ID: 'i-1',
    };
    expect(loadSettings({ ...env, ...kubernetes }).store).toEqual({
      kind: 'infisical',
      url: 'https://infisical.example',
      identityId: 'i-1',
      tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token',
      timeoutMs: 20_000,
      cache: CACHE,
    });
    const file = { INFISICAL_KUBERNETES_TOKEN_FILE: '/other/token' };
    expect(loadSettings({ ...env, ...kubernetes, ...file }).store).toMatchObject({
      tokenFile: '/other/token',
    });
    expect(
      problemsOf({
        ...env,
        ...kubernetes,
        INFISICAL_CLIENT_ID: 'canary',
        INFISICAL_CLIENT_SECRET_FILE: '/s',
      }),
    ).toEqual([
      'INFISICAL_KUBERNETES_IDENTITY_ID and INFISICAL_CLIENT_ID are both set; choose one way to log in',
      'INFISICAL_KUBERNETES_IDENTITY_ID and INFISICAL_CLIENT_SECRET are both set; choose one way to log in',
    ]);
    const why =
      'must be set when INFISICAL_URL is (or INFISICAL_KUBERNETES_IDENTITY_ID, for Kubernetes Auth)';
    expect(problemsOf({ ...env, INFISICAL_URL: 'https://infisical.example' })).toEqual([
      `INFISICAL_CLIENT_ID or INFISICAL_CLIENT_ID_FILE ${why}`,
      `INFISICAL_CLIENT_SECRET or INFISICAL_CLIENT_SECRET_FILE ${why}`,
    ]);
    expect(problemsOf({ ...GOOD, INFISICAL_KUBERNETES_IDENTITY_ID: 'i-1' })).toEqual([
      'INFISICAL_URL must be set when INFISICAL_KUBERNETES_IDENTITY_ID is',
    ]);
  });

  it('report every problem at once, by name and never by value', () => {
    const env = {
      HOST: '',
      PORT: 'canary-port',
      LOG_LEVEL: 'canary-level',
      SHUTDOWN_TIMEOUT_MS: '-1',
      USER_TOKEN_SECRET: 'canary-short',
      USER_TOKEN_REQUIRED: 'canary-yes',
      LLDAP_URL: 'ftp://canary',
      INFISICAL_URL: 'http://user:canary@host',
      INFISICAL_TIMEOUT_MS: '1e9',
    };
    const problems = problemsOf(env);
    expect(problems.map((problem) => problem.split(' ', 1)[0])).toEqual([
      'LLDAP_URL',
      'GRANTS_DIR',
      'PORT',
      'LOG_LEVEL',
      'SHUTDOWN_TIMEOUT_MS',
      'USER_TOKEN_SECRET',
      'USER_TOKEN_REQUIRED',
      'ACCESS_TOKEN_KEY',
      'INFISICAL_TIMEOUT_MS',
      'INFISICAL_URL',
      'INFISICAL_CLIENT_ID',
      'INFISICAL_CLIENT_SECRET',
    ]);
    expect(problems.join()).not.toContain('canary');
  });

  it.each(['https://lldap ', ' https://lldap', 'https://lldap/?', 'https://lldap/#', 'https://lld ap'])(
    'say that %j is no address',
    (LLDAP_URL) => {
      expect(problemsOf({ LLDAP_URL }).filter((problem) => problem.startsWith('LLDAP_URL '))).toHaveLength(1);
    },
  );

  it.each(['MASTER_KEY', 'USER_TOKEN_SECRET', 'ACCESS_TOKEN_KEY'])(
    '%s: empty, short, twice or unreadable stops the start',
    (name) => {
      const { [name]: _, ...rest } = GOOD as Record<string, string>;
      const short = { ...rest, [name]: 'x'.repeat(31) };
      expect(problemsOf(rest)).toHaveLength(1);
      expect(problemsOf({ ...rest, [name]: '' })).toHaveLength(1);
      expect(problemsOf(short)).toEqual([`${name} must be at least 32 bytes`]);
      expect(problemsOf({ ...GOOD, [`${name}_FILE`]: file('k', 'x'.repeat(32)) })).toEqual([
        `${name} and ${name}_FILE are both set; set one`,
      ]);
      expect(problemsOf({ ...rest, [`${name}_FILE`]: file('short', 'x'.repeat(31)) })).toEqual([
        `${name}_FILE: ${join(dir, 'short')} holds fewer than 32 bytes`,
      ]);
      expect(problemsOf({ ...rest, [`${name}_FILE`]: join(dir, 'absent') })).toEqual([
        `${name}_FILE: ${join(dir, 'absent')} cannot be read (ENOENT)`,
      ]);
    },
  );

  it('read keys from files: raw bytes as they are, text without its last newline', () => {
    const raw = Buffer.alloc(32, 7);
    raw[31] = 0x0a;
    const keyOf = (content: string | Uint8Array) => {
      const { ACCESS_TOKEN_KEY: _, ...rest } = GOOD;
      return loadSettings({ ...rest, ACCESS_TOKEN_KEY_FILE: file('key', content) }).accessTokenKey;
    };
    expect(Buffer.from(keyOf(raw))).toEqual(raw);
    expect(Buffer.from(keyOf(`${'h'.repeat(64)}\n`)).toString()).toBe('h'.repeat(64));
    expect(Buffer.from(keyOf(`${'h'.repeat(64)}\r\n`)).toString()).toBe('h'.repeat(64));
    expect(Buffer.from(keyOf('h'.repeat(64))).toString()).toBe('h'.repeat(64));
  });

  it('read the Infisical credentials from files too', () => {
    const env = {
      ...GOOD,
      INFISICAL_URL: 'http://infisical:8080',
      INFISICAL_CLIENT_ID_FILE: file('id', 'the-id\n'),
      INFISICAL_CLIENT_SECRET_FILE: file('secret', 'the-secret\n'),
    };
    expect(loadSettings(env).store).toMatchObject({ clientId: 'the-id', clientSecret: 'the-secret' });
  });

  it('take TLS from files that belong together, and say what does not without its content', () => {
    const authority = new TestAuthority();
    const [one, other] = [authority.certificateFor('a'), authority.certificateFor('b')];
    const certFile = file('tls.crt', one.cert);
    const keyFile = file('tls.key', one.key);
    const clientCaFile = file('client-ca.crt', authority.cert);
    const TLS = { ...GOOD, TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile };
    expect(loadSettings(GOOD)).not.toHaveProperty('tls');
    expect(loadSettings(TLS).tls).toEqual({ certFile, keyFile });
    const mutual = { ...TLS, TLS_CLIENT_CA_FILE: clientCaFile };
    expect(loadSettings({ ...mutual, TLS_CLIENT_SUBJECTS: 'CN=a, URI=spiffe://b' }).tls).toEqual({
      certFile,
      keyFile,
      clientCaFile,
      clientSubjects: ['CN=a', 'URI=spiffe://b'],
    });

    expect(problemsOf({ ...GOOD, TLS_CERT_FILE: certFile })).toEqual(['TLS_KEY_FILE must be set when TLS_CERT_FILE is']); // prettier-ignore
    expect(problemsOf({ ...GOOD, TLS_KEY_FILE: keyFile })).toEqual(['TLS_CERT_FILE must be set when TLS_KEY_FILE is']); // prettier-ignore
    expect(problemsOf({ ...GOOD, TLS_CLIENT_CA_FILE: clientCaFile })).toEqual(['TLS_CERT_FILE must be set when TLS_CLIENT_CA_FILE is']); // prettier-ignore
    expect(problemsOf({ ...TLS, TLS_CLIENT_SUBJECTS: 'CN=a' })).toEqual(['TLS_CLIENT_CA_FILE must be set when TLS_CLIENT_SUBJECTS is']); // prettier-ignore
    for (const subjects of ['canary', 'CN=', 'CN=a,', 'cn=a', 'OU=a']) {
      expect(problemsOf({ ...mutual, TLS_CLIENT_SUBJECTS: subjects })).toEqual([
        'TLS_CLIENT_SUBJECTS must list subjects as CN=…, DNS=… or URI=…, separated by commas',
      ]);
    }
    const cases: [Record<string, string>, string][] = [
      [{ TLS_KEY_FILE: file('other.key', other.key) }, `${join(dir, 'other.key')} does not hold the key of the certificate in ${certFile}`], // prettier-ignore
      [{ TLS_KEY_FILE: join(dir, 'absent') }, `${join(dir, 'absent')} cannot be read (ENOENT)`],
      [{ TLS_KEY_FILE: file('no.key', 'canary') }, `${join(dir, 'no.key')} holds no PEM private key that can be used without a passphrase`], // prettier-ignore
      [{ TLS_CERT_FILE: keyFile }, `${keyFile} holds no PEM certificate`],
      [{ TLS_CLIENT_CA_FILE: keyFile }, `${keyFile} holds no PEM certificate`],
    ];
    for (const [change, why] of cases) {
      expect(problemsOf({ ...mutual, ...change })).toEqual([`TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE: ${why}`]); // prettier-ignore
    }
    const registered = { GRANTS_SOURCE: 'kubernetes', PROVIDER_ENDPOINT: 'a.b:80' };
    expect(problemsOf({ ...TLS, ...registered })).toEqual([
      'PROVIDER_ENDPOINT and TLS_CERT_FILE do not go together: system-server calls plain http',
    ]);
  });

  const INFISICAL = {
    ...GOOD,
    INFISICAL_URL: 'https://infisical.example',
    INFISICAL_CLIENT_ID: 'id',
    INFISICAL_CLIENT_SECRET: 's',
  };

  it('take the way to Infisical from the environment: its authorities and its proxy', () => {
    const caFile = file('ca.pem', new TestAuthority().cert);
    const env = { ...INFISICAL, INFISICAL_CA_FILE: caFile, https_proxy: 'proxy:3128' };
    expect(loadSettings(env).store).toMatchObject({
      authorityFiles: { caFile },
      proxyUrl: 'http://proxy:3128',
    });
    expect(loadSettings({ ...env, NODE_EXTRA_CA_CERTS: '/extra', NO_PROXY: '*' }).store).toMatchObject({
      authorityFiles: { caFile, extraCaFile: '/extra' },
    });
    expect(loadSettings({ ...env, NO_PROXY: 'infisical.example' }).store).not.toHaveProperty('proxyUrl');
    // Who has the embedded store may have any proxy.
    expect(problemsOf({ ...GOOD, HTTPS_PROXY: 'socks://a' })).toEqual([]);
    expect(problemsOf({ ...INFISICAL, HTTPS_PROXY: 'socks://canary' })).toEqual([
      'HTTPS_PROXY must be an http or https URL without a path, with user and password if it wants any',
    ]);
  });

  it.each([
    ['absent', undefined, 'cannot be read (ENOENT)'],
    ['empty', '', 'holds no PEM certificate'],
    ['key', '-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----', 'holds no PEM certificate'],
    [
      'damaged',
      '-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----',
      'holds a damaged certificate',
    ],
    ['second-damaged', 'both', 'holds a damaged certificate'],
  ])('refuse a CA file that is %s', (name, content, rule) => {
    const bad = '-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----';
    const text = content === 'both' ? new TestAuthority().cert + bad : content;
    const path = text === undefined ? join(dir, name) : file(name, text);
    expect(problemsOf({ ...INFISICAL, INFISICAL_CA_FILE: path })).toEqual([
      `INFISICAL_CA_FILE: ${path} ${rule}`,
    ]);
  });

  it('do not let the certificate of LLDAP go unverified', () => {
    const env = { ...GOOD, NODE_TLS_REJECT_UNAUTHORIZED: '0' };
    expect(problemsOf({ ...env, LLDAP_URL: 'http://lldap:17170' })).toEqual([]);
    expect(problemsOf({ ...env, LLDAP_URL: 'HTTPS://lldap:17170' })).toEqual([
      "NODE_TLS_REJECT_UNAUTHORIZED must not be 0: LLDAP's certificate would go unverified",
    ]);
  });

  it('take Infisical credentials without an address for a mistake', () => {
    expect(problemsOf({ ...GOOD, INFISICAL_CLIENT_ID: 'id' })).toEqual([
      'INFISICAL_URL must be set when INFISICAL_CLIENT_ID is',
    ]);
  });

  it('take the grants from the cluster, and then need no folder', () => {
    const { GRANTS_DIR: _, ...rest } = GOOD;
    expect(loadSettings({ ...rest, GRANTS_SOURCE: 'kubernetes' }).grants).toEqual({
      kind: 'kubernetes',
      feeds: ['application-permissions'],
      environment: {},
      maxAgeMs: 600_000,
      audience: 'olares-secret-provider',
      trustedServiceAccounts: [],
      systemServerProof: 'address',
      systemEventServiceAccounts: [],
      settingsServiceAccounts: [{ namespace: 'user-space-<user>', name: 'system-frontend' }],
      olares: { release: 'auto', leftovers: 'deny' },
      staticGrants: [],
    });
    const cluster = {
      KUBECONFIG: '/a:/b',
      HOME: '/root',
      KUBERNETES_SERVICE_HOST: 'h',
      KUBERNETES_SERVICE_PORT: '1',
    };
    const chosen = {
      ...cluster,
      GRANTS_SOURCE: 'kubernetes',
      GRANTS_MAX_AGE_S: '60',
      SERVICE_ACCOUNT_AUDIENCE: 'another',
      TRUSTED_PROXY_SERVICE_ACCOUNTS: 'os-framework:proxy, user-system-a:system.server',
      SYSTEM_EVENT_SERVICE_ACCOUNTS: 'os-framework:events',
      SETTINGS_SERVICE_ACCOUNTS: 'os-settings:settings, <user>-settings:default',
    };
    expect(loadSettings({ ...rest, ...chosen }).grants).toEqual({
      kind: 'kubernetes',
      feeds: ['application-permissions'],
      environment: cluster,
      maxAgeMs: 60_000,
      audience: 'another',
      trustedServiceAccounts: [
        { namespace: 'os-framework', name: 'proxy' },
        { namespace: 'user-system-a', name: 'system.server' },
      ],
      systemServerProof: 'address',
      systemEventServiceAccounts: [{ namespace: 'os-framework', name: 'events' }],
      settingsServiceAccounts: [
        { namespace: 'os-settings', name: 'settings' },
        { namespace: '<user>-settings', name: 'default' },
      ],
      olares: { release: 'auto', leftovers: 'deny' },
      staticGrants: [],
    });
  });

  it('let no system-server prove itself by its address where apps reach us from that address', () => {
    const cluster = { ...GOOD, GRANTS_SOURCE: 'kubernetes' };
    const refused =
      "SYSTEM_SERVER_PROOF must be off where this service is infisical-service.os-protected: apps reach it there from system-server's own address";
    for (const env of [
      { PREDECESSOR_SERVICE: 'true' },
      { PROVIDER_ENDPOINT: 'infisical-service.os-protected:8080' },
    ]) {
      expect(problemsOf({ ...cluster, ...env })).toEqual([refused]);
      const grants = loadSettings({ ...cluster, ...env, SYSTEM_SERVER_PROOF: 'off' }).grants;
      expect(grants).toMatchObject({ systemServerProof: 'off' });
    }
    const elsewhere = { ...cluster, PROVIDER_ENDPOINT: 'infisical-service.os-framework:8080' };
    expect(loadSettings(elsewhere).grants).toMatchObject({ systemServerProof: 'address' });
    expect(problemsOf({ ...cluster, SYSTEM_SERVER_PROOF: 'off', RBAC_PROXY: 'system-server' })).toEqual([
      'RBAC_PROXY must not be system-server when SYSTEM_SERVER_PROOF is off',
    ]);
  });

  it('open the Settings routes to the proven Settings app, and without a cluster to nobody unless that is asked for', () => {
    const cluster = { ...GOOD, GRANTS_SOURCE: 'kubernetes' };
    const routes = (env: Record<string, string>, SETTINGS_ROUTES?: string) =>
      loadSettings({ ...env, SETTINGS_ROUTES }).settingsRoutes;
    expect([routes(GOOD), routes(cluster)]).toEqual(['off', 'service-accounts']);
    expect([routes(GOOD, 'service-accounts'), routes(GOOD, 'off')]).toEqual(['off', 'off']);
    expect([routes(GOOD, 'user-token'), routes(cluster, 'off')]).toEqual(['user-token', 'off']);
    expect(problemsOf({ ...cluster, SETTINGS_ROUTES: 'user-token' })).toEqual([
      'SETTINGS_ROUTES must not be user-token when GRANTS_SOURCE is kubernetes: every app holds the token of its user',
    ]);
    expect(problemsOf({ ...GOOD, SETTINGS_ROUTES: 'on' })).toEqual([
      'SETTINGS_ROUTES must be one of service-accounts, user-token, off',
    ]);
    // No pod is watched for routes that there are not.
    expect(loadSettings({ ...cluster, SETTINGS_ROUTES: 'off' }).grants).toMatchObject({
      settingsServiceAccounts: [],
    });
  });

  it('open them on a laptop whose users and apps were made there, and on no other', () => {
    const routes = (env: Record<string, string>) =>
      withDevelopmentCredentials({ DATA_DIR: dir, ...env }).env['SETTINGS_ROUTES'];
    expect(routes({})).toBe('user-token');
    expect(routes({ SETTINGS_ROUTES: 'off' })).toBe('off');
    for (const env of [
      { NODE_ENV: 'production' },
      { HOST: '0.0.0.0' },
      { GRANTS_DIR: '/apps' },
      { GRANTS_SOURCE: 'kubernetes' },
      { USER_TOKEN_SECRET: 'u'.repeat(64) },
      { ACCESS_TOKEN_KEY: 'a'.repeat(64) },
    ] as Record<string, string>[])
      expect([env, routes(env)]).toEqual([env, undefined]);
  });

  it.each([
    'user-space-<user>',
    '<user>',
    'a:<user>',
    '<user><user>:a',
    'a-<USER>:b',
    '-<user>:a',
    '<user>:',
    'a:b:c',
    'a:b,',
  ])('take %p for no list of accounts of the Settings app', (SETTINGS_SERVICE_ACCOUNTS) => {
    expect(problemsOf({ ...GOOD, GRANTS_SOURCE: 'kubernetes', SETTINGS_SERVICE_ACCOUNTS })).toEqual([
      'SETTINGS_SERVICE_ACCOUNTS must be namespace:name, separated by commas; <user> may stand in a namespace',
    ]);
  });

  it('believe proxies only in a cluster, and only where there are any', () => {
    const env = { ...GOOD, GRANTS_SOURCE: 'kubernetes', RBAC_PROXY: 'service-accounts' };
    expect(loadSettings(GOOD).rbacProxy).toBe('off');
    expect(loadSettings({ ...env, TRUSTED_PROXY_SERVICE_ACCOUNTS: 'a:b' }).rbacProxy).toBe(
      'service-accounts',
    );
    expect(loadSettings({ ...env, RBAC_PROXY: 'system-server' }).rbacProxy).toBe('system-server');
    expect(problemsOf(env)).toEqual([
      'TRUSTED_PROXY_SERVICE_ACCOUNTS must be set when RBAC_PROXY is service-accounts',
    ]);
    expect(problemsOf({ ...GOOD, RBAC_PROXY: 'system-server' })).toEqual([
      'GRANTS_SOURCE must be kubernetes when RBAC_PROXY is system-server',
    ]);
    expect(problemsOf({ ...GOOD, RBAC_PROXY: 'on' })).toEqual([expect.stringContaining('RBAC_PROXY')]);
  });

  it("take this service's address in the cluster, which registers it", () => {
    const env = { ...GOOD, GRANTS_SOURCE: 'kubernetes', PROVIDER_ENDPOINT: 'secrets.os-secrets:8080' };
    expect(loadSettings(env).grants).toMatchObject({
      registration: {
        kind: 'provider-registry',
        providerName: 'secret-provider',
        endpoint: { service: 'secrets', namespace: 'os-secrets', port: 8080 },
      },
    });
    expect(problemsOf({ ...GOOD, PROVIDER_ENDPOINT: 'secrets.os-secrets:8080' })).toEqual([
      'GRANTS_SOURCE must be kubernetes when PROVIDER_ENDPOINT is set',
    ]);
  });

  it.each([
    'secrets',
    'secrets:8080',
    'http://a.b:80',
    'a.b',
    'a.b:0',
    'a.b:65536',
    'a.b.svc:80',
    'a.b:80/x',
    'A.b:80',
  ])('refuse %p as the address to register', (text) => {
    const env = { ...GOOD, GRANTS_SOURCE: 'kubernetes', PROVIDER_ENDPOINT: text };
    expect(problemsOf(env)).toEqual(['PROVIDER_ENDPOINT must be <service>.<namespace>:<port>']);
  });

  it.each(['proxy', 'a:b:c', ':b', 'a:', 'a:b,', 'A:b', 'a/b', '*:*'])(
    'refuse %p as a ServiceAccount',
    (text) => {
      for (const setting of ['TRUSTED_PROXY_SERVICE_ACCOUNTS', 'SYSTEM_EVENT_SERVICE_ACCOUNTS']) {
        expect(problemsOf({ ...GOOD, GRANTS_SOURCE: 'kubernetes', [setting]: text })).toEqual([
          `${setting} must be namespace:name, separated by commas`,
        ]);
      }
    },
  );
});
