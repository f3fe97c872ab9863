import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings, type Settings } from '../../src/config/settings';
import { SETTING_DEFINITIONS } from '../../src/config/setting-definitions';
import type { SettingDefinition } from '../../src/config/setting-groups';
import { TestAuthority } from '../support/certificates';
import { chartFile, type KubeManifest, listOf, one, renderProfile, ROOT, type Values } from './chart';
import { filePathsOf, podRoot, type PodRoot, settingsOf, workloadOf } from './pod-files';
import { renderVariant, VARIANT_NAMES } from './variants';

const authority = new TestAuthority();
const server = authority.certificateFor('provider');
const contentOf = (path: string): string => {
  if (/\/tls\.(crt|key)$/.test(path)) return path.endsWith('.crt') ? server.cert : server.key;
  if (path.endsWith('/redis-url')) return 'redis://:canary@redis';
  return path.endsWith('.crt') ? authority.cert : 'k'.repeat(64);
};

const definitions: [string, SettingDefinition][] = Object.entries(SETTING_DEFINITIONS);
const KNOWN = new Set([
  ...definitions.flatMap(([name, { secret }]) => (secret === true ? [name, `${name}_FILE`] : [name])),
  'NODE_OPTIONS',
]);

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The first is the image's; the other follows HOST where it is unset. */
const NOT_OF_THE_CHART = new Set(['NODE_ENV', 'METRICS_HOST']);

describe.each(VARIANT_NAMES)('the settings for %s', (name) => {
  const manifests = renderVariant(name);
  let root: PodRoot;
  beforeAll(() => (root = podRoot(manifests, contentOf)));
  afterAll(() => root.remove());

  it('are ones that the service reads', () => {
    expect(Object.keys(settingsOf(manifests)).filter((setting) => !KNOWN.has(setting))).toEqual([]);
  });

  it('are accepted by the service, with the files that the pod mounts', () => {
    expect(() => loadSettings({ NODE_ENV: 'production', ...root.env })).not.toThrow();
    const files = Object.entries(root.env).filter(
      ([setting]) => /(_FILE|_CERTS)$/.test(setting) && setting !== 'AUDIT_FILE',
    );
    expect(files.filter(([, path]) => !existsSync(path)).map(([setting]) => setting)).toEqual([]);
  });

  it('use every file that is mounted', () => {
    const used = new Set(Object.values(settingsOf(manifests)));
    expect(filePathsOf(manifests).filter((path) => !used.has(path))).toEqual([]);
  });

  it('leave the pod the time that preStop, the drain and the ends of store and audit trail need', () => {
    const pod = workloadOf(manifests)['spec'].template.spec;
    const command: string[] = pod.containers[0].lifecycle?.preStop.exec.command ?? [];
    const preStopMs = Number(/(\d+)\)$/.exec(command.at(-1) ?? '0)')?.[1]);
    const drainMs = Number(settingsOf(manifests)['SHUTDOWN_TIMEOUT_MS']);
    const { AUDIT = '', AUDIT_DEADLINE_MS } = settingsOf(manifests);
    const auditSeconds = /file|both/.test(AUDIT) ? Math.ceil((2 * Number(AUDIT_DEADLINE_MS)) / 1000) + 5 : 0;
    expect(pod.terminationGracePeriodSeconds).toBe(
      preStopMs / 1000 + Math.ceil(drainMs / 1000) + 5 + auditSeconds,
    );
  });
});

function loadedOf(variant: string): Settings {
  const root = podRoot(renderVariant(variant), contentOf);
  try {
    return loadSettings({ NODE_ENV: 'production', ...root.env });
  } finally {
    root.remove();
  }
}

describe('the chart', () => {
  it('has a value for every setting of the service', () => {
    const templates = ['templates/_settings.tpl', 'templates/_credentials.tpl'].map(chartFile).join('\n');
    const missing = definitions.filter(([name]) => !NOT_OF_THE_CHART.has(name) && !templates.includes(name));
    expect(missing.map(([name]) => name)).toEqual([]);
  });

  it('names the Settings app in a cluster, and without one opens its routes to nobody', () => {
    const routes = (variant: string) => {
      const { SETTINGS_ROUTES, SETTINGS_SERVICE_ACCOUNTS } = settingsOf(renderVariant(variant));
      return [SETTINGS_ROUTES, SETTINGS_SERVICE_ACCOUNTS, loadedOf(variant).settingsRoutes];
    };
    const frontend = 'user-space-<user>:system-frontend';
    expect(routes('olares-1.12.0')).toEqual(['service-accounts', frontend, 'service-accounts']);
    expect(routes('a Settings app of its own')[1]).toBe('os-settings:settings,os-settings:other');
    expect(routes('no Settings app')).toEqual(['off', undefined, 'off']);
    expect(routes('standalone-embedded')).toEqual(['service-accounts', undefined, 'off']);
    expect(routes('Settings routes for the user alone')).toEqual(['user-token', undefined, 'user-token']);
  });

  it("lets Olares' sender of system events tell of deleted users, to which the profile subscribes", () => {
    const manifests = renderVariant('olares-1.12.0');
    const { SYSTEM_EVENT_SERVICE_ACCOUNTS: senders, PROVIDER_ENDPOINT: endpoint } = settingsOf(manifests);
    expect([senders, endpoint]).toEqual(['os-framework:tapr-sysevent', 'vault.os-platform:8080']);
    const role = manifests.filter(
      ({ kind, metadata }) => kind === 'Role' && metadata.namespace === 'os-framework',
    );
    expect(role.map(({ rules }) => rules)).toEqual([
      [{ apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] }],
    ]);
  });

  it('asks LLDAP at the Service that Olares has, and nothing says otherwise', () => {
    const url = 'http://lldap-service.os-platform:17170';
    expect(settingsOf(renderVariant('olares-1.12.0'))['LLDAP_URL']).toBe(url);
    expect(SETTING_DEFINITIONS.LLDAP_URL.description).toContain(url);
    const texts = [
      ...['README.md', 'values.yaml', 'values/olares.yaml', 'values/olares-1.12.0.yaml'].map(chartFile),
      readme,
    ];
    expect(texts.map((text) => [...text.matchAll(/\/\/lldap[\w.-]*/g)].map(([host]) => host))).toEqual(
      texts.map(() => ['//lldap-service.os-platform']),
    );
  });

  it('writes a setting that is a number as its digits, and any other as it stands', () => {
    const extraSettings = { MILLIONS: 20_000_000, PART: 0.00001, FLAG: true, TEXT: '1e3<' };
    expect(settingsOf(renderProfile('standalone-embedded', { extraSettings }))).toMatchObject({
      MILLIONS: '20000000',
      PART: '0.00001',
      FLAG: 'true',
      TEXT: '1e3<',
    });
  });

  it('registers the Service that it makes', () => {
    const manifests = renderProfile('olares-1.12.0', { service: { port: 80 }, fullnameOverride: 'secrets' });
    expect(settingsOf(manifests)['PROVIDER_ENDPOINT']).toBe('secrets.os-platform:80');
  });

  it('restarts pods for a changed setting, and not for a credential, which is a watched file', () => {
    const checksum = (values: Values): string =>
      workloadOf(renderProfile('standalone-embedded', values))['spec'].template.metadata.annotations[
        'checksum/settings'
      ];
    expect(checksum({ logLevel: 'debug' })).not.toBe(checksum({}));
    expect(checksum({ accessToken: { value: 'k'.repeat(40) } })).toBe(checksum({}));
  });

  it('calls Node where the image has it, without a debugger that opens by a signal', () => {
    const text = JSON.stringify(renderVariant('where pods run, and what is put on them'));
    expect(text.match(/"command":\["[^"]+","[^"]+"/g)).toEqual(
      Array(3).fill('"command":["/nodejs/bin/node","--disable-sigusr1"'),
    );
  });

  it.each(VARIANT_NAMES)('has the kubelet ask the metrics port, whatever else is there: %s', (variant) => {
    const [container] = workloadOf(renderVariant(variant))['spec'].template.spec.containers;
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    expect(probes.map(({ httpGet }) => httpGet)).toEqual(
      ['/livez', '/livez', '/readyz'].map((path) => ({ path, port: 'metrics' })),
    );
    const ports = listOf(container.ports).map(({ name, containerPort }) => [name, containerPort]);
    expect(ports).toEqual([
      ['http', 8080],
      ['metrics', 9464],
    ]);
    expect(settingsOf(renderVariant(variant))['METRICS_PORT']).toBe('9464');
  });

  it.each<[string, number]>([
    ['1Gi', 111],
    ['64Mi', 63],
    ['1Ti', 52_488],
  ])(
    'lets a start with an embedded store of %s take %d s, by which it is read as a whole',
    (size, seconds) => {
      const startOf = (manifests: readonly KubeManifest[]) =>
        workloadOf(manifests)['spec'].template.spec.containers[0].startupProbe;
      expect(startOf(renderProfile('standalone-embedded', { embedded: { size } }))).toMatchObject({
        periodSeconds: 1,
        failureThreshold: seconds,
      });
      expect(startOf(renderVariant('olares')).failureThreshold).toBe(60);
    },
  );

  it('lets nobody but the kubelet to a metrics port that is not to be scraped', () => {
    const manifests = renderProfile('olares-1.12.0', { metrics: { enabled: false } });
    const named = manifests.filter(({ metadata }) => /-metrics$/.test(metadata.name));
    expect(named).toEqual([]);
    const { ingress } = one(manifests, 'NetworkPolicy', 'vault')['spec'];
    expect(listOf(ingress).flatMap(({ ports }) => listOf(ports).map(({ port }) => port))).toEqual(['http']);
  });
});
