import { merged, type Profile, template, THREE_VALUES, type Values } from './chart';
import { FAMILIES } from './helm-tools';

interface Refusal {
  readonly profile: Profile;
  readonly values: Values;
  /** What both releases of Helm must say. */
  readonly says: readonly string[];
}

const refusal = (profile: Profile, values: Values, ...says: string[]): Refusal => ({ profile, values, says });
const olares = refusal.bind(undefined, 'olares-1.12.0');
const standalone = refusal.bind(undefined, 'standalone-embedded');
const several = refusal.bind(undefined, 'high-availability');

const MUTUAL = { existingSecret: 'tls', clientCa: { existingSecret: 'callers' } };

/** Wrong values one by one: the schema names the place. */
const WRONG_VALUES: Readonly<Record<string, Refusal>> = {
  'a burst of no rate': olares({ protection: { app: { reads: '0:5' } } }, 'protection', 'reads'),
  'an unknown key': olares({ replcias: 2 }, 'replcias', 'not allowed'),
  'an unknown key further in': olares({ infisical: { clientID: 'x' } }, 'infisical', 'clientID', 'not allowed'),
  'no pods at all': olares({ replicas: 0 }, 'replicas', '1'),
  'a number as text': olares({ replicas: '2' }, 'replicas', 'integer'),
  'a URL of another scheme': olares({ infisical: { url: 'ftp://x' } }, 'infisical', 'url', 'https?'),
  'a URL with credentials': olares({ infisical: { url: 'https://a:b@x' } }, 'infisical', 'url', 'https?'),
  'a proxy with credentials': olares({ infisical: { proxy: { url: 'http://a:b@x' } } }, 'proxy', 'url'),
  'a client subject without its kind': several({ tls: { ...MUTUAL, clientSubjects: ['gateway'] } }, 'clientSubjects', '(CN|DNS|URI)='),
  'a client subject of another kind': several({ tls: { ...MUTUAL, clientSubjects: ['CN=a', 'O=olares'] } }, 'clientSubjects', '(CN|DNS|URI)='),
  'a client subject in small letters': several({ tls: { ...MUTUAL, clientSubjects: ['cn=a'] } }, 'clientSubjects', '(CN|DNS|URI)='),
  'a client subject of nobody': several({ tls: { ...MUTUAL, clientSubjects: ['CN= '] } }, 'clientSubjects', '(CN|DNS|URI)='),
  'two client subjects as one': several({ tls: { ...MUTUAL, clientSubjects: ['CN=a,DNS=b'] } }, 'clientSubjects', '(CN|DNS|URI)='),
  'a log level that there is not': olares({ logLevel: 'loud' }, 'logLevel', 'silent'),
  'a kind of registration that there is not': olares({ registration: { kind: 'roles' } }, 'registration', 'kind', 'provider-registry'),
  'a provider name that is no host name': olares({ registration: { providerName: 'A_b' } }, 'registration', 'providerName'),
  'a port out of range': olares({ service: { port: 70000 } }, 'service', 'port', '65'),
  'a ServiceAccount without namespace': olares({ identity: { trustedProxyServiceAccounts: ['proxy'] } }, 'trustedProxyServiceAccounts'),
  'a static grant of all operations': olares({ olares: { staticGrants: [{ serviceAccount: 'a-<user>:b', workspaces: ['w'], operations: ['*'] }] } }, 'staticGrants', 'operations'),
  'a static grant of any namespace': olares({ olares: { staticGrants: [{ serviceAccount: '<user>:b', workspaces: ['w'], operations: ['ListSecret'] }] } }, 'staticGrants', 'serviceAccount'),
  'no Settings app': olares({ settingsRoutes: { serviceAccounts: [] } }, 'settingsRoutes', 'serviceAccounts'),
  'a Settings app without namespace': olares({ settingsRoutes: { serviceAccounts: ['<user>'] } }, 'settingsRoutes', 'serviceAccounts'),
  'another placeholder than the user': olares({ settingsRoutes: { serviceAccounts: ['user-space-<app>:a'] } }, 'settingsRoutes', 'serviceAccounts'),
  'a mode of the Settings routes that there is not': olares({ settingsRoutes: { mode: 'on' } }, 'settingsRoutes', 'user-token'),
  'memory in a unit that cannot be compared': olares({ resources: { limits: { memory: '256M' } } }, 'resources', 'memory', '(Mi|Gi)'),
  'a feed of grants that there is not': olares({ grants: { feeds: ['manifest'] } }, 'feeds', 'manifests'),
  'an approval for every app': olares({ grants: { feeds: ['manifests'], approvals: [{ user: '*', app: '*', workspace: 'a', operations: ['ListSecret'] }] } }, 'approvals', 'app'),
  'an image digest that is none': olares({ image: { digest: 'sha256:1' } }, 'image', 'digest'),
  'a credential among the settings': olares({ extraSettings: { MASTER_KEY: 'x' } }, 'extraSettings'),
  'a credential file among the settings': olares({ extraSettings: { REDIS_URL_FILE: 'x' } }, 'extraSettings'),
  "a collector's credential among the settings": olares({ extraSettings: { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=canary' } }, 'extraSettings.OTEL_EXPORTER_OTLP_HEADERS', 'a collector in the cluster'),
  'a proxy among the settings': olares({ extraSettings: { HTTPS_PROXY: 'http://a:canary@b' } }, 'extraSettings'),
  'a label by which the Service finds pods': olares({ podLabels: { 'app.kubernetes.io/name': 'x' } }, 'podLabels'),
  'a name for objects that no Service may have': olares({ fullnameOverride: '1st' }, 'fullnameOverride'),
}; // prettier-ignore

/** Values that are right alone and wrong together: the chart says which, and what to do. */
const WRONG_TOGETHER: Readonly<Record<string, Refusal>> = {
  'no key for user tokens': standalone({ userToken: { existingSecret: '' } }, 'userToken.existingSecret: name the Secret', 'user-token-secret', 'credentials.existingSecret'),
  'no machine identity': olares({ infisical: { existingSecret: '' } }, 'infisical.existingSecret: name the Secret', 'client-id', 'infisical.clientId'),
  'half a machine identity': olares({ infisical: { existingSecret: '', clientId: 'x' } }, 'client-secret', 'infisical.clientSecret'),
  'a credential given twice': olares({ infisical: { clientId: 'x' } }, 'infisical.existingSecret and infisical.clientId are both set'),
  'a proxy given twice': olares({ infisical: { proxy: { url: 'http://proxy', existingSecret: 'proxy' } } }, 'infisical.proxy.existingSecret and infisical.proxy.url are both set'),
  'approvals of what nobody reads': olares({ grants: { approvals: [{ user: '*', app: 'a', workspace: 'b', operations: ['ListSecret'] }] } }, 'grants.approvals is for grants.source kubernetes with manifests'),
  'a proxy without Infisical': standalone({ infisical: { proxy: { existingSecret: 'proxy' } } }, 'infisical.url: must be set when infisical.proxy is'),
  'authorities without Infisical': standalone({ infisical: { ca: { existingSecret: 'ca' } } }, 'infisical.url: must be set when infisical.ca is'),
  'two ways to log in': olares({ infisical: { kubernetesAuth: { identityId: 'x' } } }, 'choose one way to log in'),
  'an identity without Infisical': standalone({ infisical: { existingSecret: 'x' } }, 'infisical.url: must be set'),
  'a migration into the embedded store': standalone({ migration: { enabled: true } }, 'migration.enabled', 'docs/migrate-from-tapr.md'),
  'a migration from nowhere': olares({ migration: { enabled: true } }, 'migration.database.url'),
  'several pods on the embedded store': standalone({ replicas: 2 }, 'the embedded store belongs to one pod', 'infisical.url'),
  'autoscaling on the embedded store': standalone({ autoscaling: { enabled: true } }, 'the embedded store belongs to one pod'),
  'several pods without Redis': olares({ replicas: 2 }, 'more than one pod needs Redis', 'redis.enabled'),
  'autoscaling without Redis': olares({ autoscaling: { enabled: true } }, 'more than one pod needs Redis'),
  'no URL of Redis': several({ credentials: { existingSecret: '' }, userToken: { existingSecret: 'a' }, infisical: { existingSecret: 'a' } }, 'redis.existingSecret', 'redis-url'),
  'Sentinels of a Redis that is not enabled': olares({ redis: { sentinel: { hosts: ['a'] } } }, 'redis.enabled: must be true'),
  'a URL of a Redis that is not enabled': olares({ redis: { url: 'redis://:canary@a' } }, 'redis.enabled: must be true'),
  'a password of no Sentinels': several({ redis: { sentinel: { existingSecret: 'x' } } }, 'redis.sentinel.hosts: name the Sentinels'),
  'authorities of Redis from two places': several({ redis: { ca: { existingConfigMap: 'x', existingSecret: 'x' } } }, 'redis.ca', 'choose one'),
  'fewer at most than at least': several({ autoscaling: { minReplicas: 5, maxReplicas: 4 } }, 'autoscaling.maxReplicas is less'),
  'a folder of grants without a volume': olares({ registration: { enabled: false }, grants: { source: 'directory' } }, 'grants.volume: state the volume'),
  'a volume of grants beside the cluster': olares({ grants: { volume: { emptyDir: {} } } }, 'grants.volume is for grants.source directory only'),
  'a registration without a cluster': standalone({ registration: { enabled: true } }, 'registration.enabled needs grants.source kubernetes'),
  'static grants without a cluster': standalone({ olares: { staticGrants: [{ serviceAccount: 'a:b', userFrom: 'X-BFL-USER', workspaces: ['w'], operations: ['ListSecret'] }] } }, 'need grants.source kubernetes'),
  'believed accounts without a cluster': standalone({ identity: { systemEventServiceAccounts: ['a:b'] } }, 'no ServiceAccount can be known'),
  "the predecessor's name in another namespace": olares({ service: { asPredecessor: true }, identity: { systemServerProof: 'off' } }, 'infisical-service.os-protected', 'namespace os-protected'),
  "a proxy mode that believes system-server's address, which proves nothing": olares({ identity: { rbacProxy: 'system-server', systemServerProof: false } }, 'needs identity.systemServerProof address'),
  'a proxy mode without proxies': olares({ identity: { rbacProxy: 'service-accounts' } }, 'needs identity.trustedProxyServiceAccounts'),
  'Settings routes for every app': olares({ settingsRoutes: { mode: 'user-token' } }, 'settingsRoutes.mode: user-token is for grants.source directory only'),
  'client certificates without TLS': olares({ tls: { clientCa: { existingSecret: 'x' } } }, 'tls.clientCa needs tls.existingSecret'),
  'subjects without client certificates': olares({ registration: { enabled: false }, tls: { existingSecret: 'x', clientSubjects: ['CN=a'] } }, 'tls.clientSubjects needs tls.clientCa'),
  'roles of the proxy beside a required user token': { ...olares({ userToken: { required: true } }, 'registration.kind rbac needs userToken.required false'), profile: 'olares' },
  'roles of the proxy where apps do not reach the service': olares({ registration: { kind: 'rbac' }, userToken: { required: false } }, 'apps do not reach namespace os-platform', 'os-protected'),
  'roles of the proxy with TLS': { ...olares({ tls: { existingSecret: 'x' } }, 'system-server calls plain http'), profile: 'olares' },
  'roles of the proxy without a cluster': standalone({ registration: { enabled: true, kind: 'rbac' } }, 'registration.enabled needs grants.source kubernetes'),
  'a registration with TLS': olares({ tls: { existingSecret: 'x' } }, 'system-server calls plain http'),
  'authorities from two places': olares({ trustedCa: { existingConfigMap: 'x', existingSecret: 'x' } }, 'trustedCa', 'choose one'),
  'alerts without metrics': several({ metrics: { enabled: false } }, 'need metrics.enabled'),
  "probes on the service's own port": olares({ metrics: { enabled: false, port: 8080 } }, "the service's own port"),
  "metrics on the service's own port": olares({ metrics: { port: 8080 } }, "the service's own port"),
  'less memory asked for than allowed': olares({ resources: { requests: { memory: '128Mi' } } }, 'must be equal'),
  'no ServiceAccount': olares({ serviceAccount: { create: false } }, 'serviceAccount.name'),
  'half a test': olares({ test: { app: { workspace: 'x' } } }, 'test.app: existingSecret and workspace go together'),
  'two credentials under one key': standalone({ userToken: { existingSecret: '', value: 'canary-'.repeat(5), key: 'k' }, accessToken: { value: 'other-'.repeat(6), key: 'k' } }, 'ACCESS_TOKEN_KEY', 'another credential', 'the key k too'),
  'a Secret of its own that holds values alone': standalone({ userToken: { existingSecret: 'vault-credentials' }, accessToken: { value: 'canary-'.repeat(5) } }, 'USER_TOKEN_SECRET: Secret vault-credentials holds what is given as values', 'name another Secret'),
  'a short key': standalone({ embedded: { masterKey: { value: 'canary-short' } } }, 'MASTER_KEY', '32 bytes'),
  'a setting that the chart sets itself': olares({ extraSettings: { LOG_LEVEL: 'debug' } }, 'extraSettings.LOG_LEVEL', 'a value of its own'),
}; // prettier-ignore

describe.each(FAMILIES)('the chart with %s', (family) => {
  it.each(Object.entries({ ...WRONG_VALUES, ...WRONG_TOGETHER }))('refuses %s', (_name, refused) => {
    const { profile, says } = refused;
    const values = merged(THREE_VALUES[profile], refused.values);
    const { ok, stderr } = template({ family, profiles: [profile], values });
    expect(ok).toBe(false);
    for (const words of says) expect(stderr).toContain(words);
    expect(stderr).not.toContain('canary');
  });

  it.each<[string, Values]>([
    ['a second Service of that name', { service: { asPredecessor: true } }],
    ['its own name', { fullnameOverride: 'infisical-service' }],
  ])('refuses addresses of system-server as a proof beside the predecessor’s name: %s', (_name, change) => {
    const render = (identity: Values) =>
      template({
        family,
        profiles: ['olares-1.12.0'],
        namespace: 'os-protected',
        values: merged(THREE_VALUES['olares-1.12.0'], { ...change, identity }),
      });
    const { ok, stderr } = render({ systemServerProof: 'address' });
    expect([ok, stderr]).toEqual([false, expect.stringContaining('identity.systemServerProof must be off')]);
    const proven = render({ systemServerProof: 'off' });
    expect(proven.ok).toBe(true);
    expect(proven.stdout).toContain('SYSTEM_SERVER_PROOF: "off"');
    expect(proven.stdout.match(/kind: Service\nmetadata:\n {2}name: infisical-service\n/g)).toHaveLength(1);
  });

  it('takes an unquoted `off`, which YAML reads as false', () => {
    const off = { identity: { rbacProxy: false }, settingsRoutes: { mode: false }, audit: { to: false } };
    const { ok, stdout } = template({
      family,
      profiles: ['olares-1.12.0'],
      values: merged(THREE_VALUES['olares-1.12.0'], off),
    });
    expect(ok).toBe(true);
    expect(stdout).toContain('RBAC_PROXY: "off"');
    expect(stdout).toContain('SETTINGS_ROUTES: "off"');
    expect(stdout).toContain('AUDIT: "off"');
  });
});
