import { type KubeManifest, merged, type Profile, renderProfile, THREE_VALUES, type Values } from './chart';

interface Variant {
  readonly profile: Profile;
  readonly values: Values;
}

const accounts = ['os-framework:rbac-proxy', 'proxies:gateway', 'os-framework:other'];
const tls = { existingSecret: 'tls' };
const clientCa = { existingSecret: 'callers', key: 'ca.pem' };

/** Every toggle of the chart at least once: what holds for all pods and objects is held to all of these. */
const VARIANTS: Readonly<Record<string, Variant>> = {
  olares: { profile: 'olares', values: {} },
  'olares-1.12.0': { profile: 'olares-1.12.0', values: {} },
  'standalone-embedded': { profile: 'standalone-embedded', values: {} },
  'high-availability': { profile: 'high-availability', values: {} },
  'trusted ServiceAccounts': {
    profile: 'olares-1.12.0',
    values: {
      identity: {
        trustedProxyServiceAccounts: accounts,
        rbacProxy: 'service-accounts',
        systemEventServiceAccounts: ['os-framework:app-service'],
      },
    },
  },
  'registered both ways': {
    profile: 'olares-1.12.0',
    values: {
      identity: { trustedProxyServiceAccounts: accounts },
      registration: { kind: 'both', providerName: 'vault', admissionPolicy: true },
    },
  },
  'manifests of apps, some of them approved': {
    profile: 'olares',
    values: {
      grants: {
        feeds: ['manifests'],
        approvals: [
          { user: '*', app: 'notes', workspace: 'mail', operations: ['RetrieveSecret', 'ListSecret'] },
          { user: 'alice', app: 'notes', workspace: 'mail', operations: ['CreateSecret'] },
        ],
      },
    },
  },
  'a Settings app of its own': {
    profile: 'olares-1.12.0',
    values: { settingsRoutes: { serviceAccounts: ['os-settings:settings', 'os-settings:other'] } },
  },
  'an audit trail in both places': {
    profile: 'high-availability',
    values: { audit: { to: 'both', existingClaim: 'audit' } },
  },
  'an audit trail on standard output': {
    profile: 'standalone-embedded',
    values: { audit: { to: 'stdout' } },
  },
  'no Settings app': { profile: 'olares-1.12.0', values: { settingsRoutes: { mode: 'off' } } },
  'Settings routes for the user alone': {
    profile: 'standalone-embedded',
    values: { settingsRoutes: { mode: 'user-token' } },
  },
  'Kubernetes Auth': {
    profile: 'high-availability',
    values: { infisical: { kubernetesAuth: { identityId: 'id', audience: 'https://infisical.example' } } },
  },
  'a migration': {
    profile: 'olares',
    values: {
      migration: {
        enabled: true,
        arguments: ['--user', 'alice'],
        database: { url: 'postgres://infisical_os_protected@database:5433/os_protected_infisical' },
        infisical: { url: 'http://infisical-old:8080', existingSecret: 'old-identity' },
      },
      trustedCa: { existingSecret: 'ca' },
    },
  },
  'a migration by the Kubernetes Auth of the service': {
    profile: 'high-availability',
    values: {
      infisical: { kubernetesAuth: { identityId: 'id' } },
      migration: {
        enabled: true,
        database: { url: 'postgres://u@h:5432/d' },
        jwtSecret: { existingSecret: '' },
      },
    },
  },
  'values in place of Secrets': {
    profile: 'standalone-embedded',
    values: {
      userToken: { existingSecret: '', value: 'canary-user-token-secret-0123456789' },
      accessToken: { value: 'canary-access-token-key-0123456789' },
      embedded: { masterKey: { value: 'canary-master-key-012345678901234' }, storageClassName: 'fast' },
    },
  },
  "Infisical's and Redis' credentials as values": {
    profile: 'high-availability',
    values: {
      credentials: { existingSecret: '' },
      userToken: { value: 'canary-user-token-secret-0123456789' },
      infisical: { clientId: 'canary-client-id', clientSecret: 'canary-client-secret' },
      redis: { url: 'redis://:canary-password@redis:6379' },
    },
  },
  'authorities, proxy, tracing': {
    profile: 'high-availability',
    values: {
      infisical: {
        ca: { existingConfigMap: 'authority', key: 'root.pem' },
        organizationId: '334e1428-3927-4c1d-b618-16bced09bd25',
        proxy: { url: 'http://proxy:3128', noProxy: '.svc' },
      },
      trustedCa: { existingSecret: 'authority' },
      tracing: { endpoint: 'http://collector.monitoring:4318', sampleRatio: 0.00001 },
      userToken: {
        lldapUrl: 'http://lldap-service.os-platform:17170',
        adminGroup: 'admins',
        required: false,
      },
    },
  },
  'Sentinels and an authority of their own': {
    profile: 'high-availability',
    values: {
      redis: {
        keyPrefix: 'secrets:',
        ca: { existingSecret: 'redis-tls' },
        sentinel: {
          hosts: ['one.redis:26379', '[fd00::1]'],
          masterName: 'main',
          username: 'watcher',
          existingSecret: 'redis',
          tls: true,
        },
      },
    },
  },
  'a proxy with a password': {
    profile: 'high-availability',
    values: { infisical: { proxy: { existingSecret: 'proxy', key: 'url', port: 8888 } } },
  },
  TLS: { profile: 'high-availability', values: { tls } },
  'client certificates': {
    profile: 'high-availability',
    values: { tls: { ...tls, clientCa, clientSubjects: ['CN=a gateway', 'DNS=b', 'URI=spiffe://c/d'] } },
  },
  'client certificates from a ConfigMap, and one for the test': {
    profile: 'high-availability',
    values: {
      tls: { ...tls, clientCa: { existingConfigMap: 'callers' } },
      test: { clientCertificate: 'test-certificate' },
    },
  },
  'a test with an app': {
    profile: 'standalone-embedded',
    values: { test: { app: { existingSecret: 'test-app', workspace: 'helm-test' } } },
  },
  'no metrics, no policies, no roles, no accounts of its own': {
    profile: 'olares-1.12.0',
    values: {
      metrics: { enabled: false },
      networkPolicy: { enabled: false },
      podDisruptionBudget: { enabled: false },
      rbac: { create: false },
      serviceAccount: { create: false, name: 'given' },
      topologySpread: { nodes: 'none', zones: 'none' },
      preStopSeconds: 0,
    },
  },
  'where pods run, and what is put on them': {
    profile: 'high-availability',
    values: {
      fullnameOverride: 'secrets',
      image: { digest: `sha256:${'0'.repeat(64)}`, pullSecrets: ['registry'], node: '/nodejs/bin/node' },
      priorityClassName: 'system-cluster-critical',
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'a', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      podAnnotations: { a: 'b' },
      podLabels: { c: 'd' },
      service: { type: 'LoadBalancer', annotations: { e: 'f' } },
      serviceAccount: { name: 'other', annotations: { g: 'h' } },
      metrics: {
        serviceMonitor: { labels: { release: 'prometheus' } },
        prometheusRule: { labels: { release: 'prometheus' } },
      },
      extraSettings: { NODE_OPTIONS: '--max-old-space-size=400' },
      autoscaling: { enabled: false },
      registration: { enabled: true },
    },
  },
  'narrow network': {
    profile: 'olares-1.12.0',
    values: {
      networkPolicy: {
        ingress: { extraFrom: [{ ipBlock: { cidr: '10.0.0.0/8' } }], monitoringNamespaces: [] },
        egress: {
          apiServer: { to: [{ ipBlock: { cidr: '10.0.0.1/32' } }], ports: [6443] },
          infisical: { to: [{ namespaceSelector: {} }] },
          lldap: { to: [{ podSelector: { matchLabels: { app: 'lldap' } } }] },
          extra: [{ ports: [{ port: 5432 }] }],
        },
      },
    },
  },
};

export const VARIANT_NAMES = Object.keys(VARIANTS);
const rendered = new Map<string, readonly KubeManifest[]>();

export function variantValues(name: string): { readonly profile: Profile; readonly values: Values } {
  const { profile, values } = VARIANTS[name]!;
  return { profile, values: merged(THREE_VALUES[profile], values) };
}

/** Rendered once for each test file. */
export function renderVariant(name: string): readonly KubeManifest[] {
  const { profile, values } = VARIANTS[name]!;
  const manifests = rendered.get(name) ?? renderProfile(profile, values);
  rendered.set(name, manifests);
  return manifests;
}
