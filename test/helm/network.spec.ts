import { type KubeManifest, listOf, one, renderProfile, type Values } from './chart';
import { renderVariant } from './variants';

const policyOf = (manifests: readonly KubeManifest[]): KubeManifest =>
  one(manifests, 'NetworkPolicy', 'vault')['spec'];
const toPort = (policy: KubeManifest, wanted: string): KubeManifest[] =>
  listOf(policy['ingress']).filter(({ ports }) => listOf(ports).some(({ port }) => port === wanted));
const namespacesOf = (rule: KubeManifest): string[] =>
  listOf(rule['from']).flatMap(({ namespaceSelector }) =>
    listOf(namespaceSelector?.matchExpressions).flatMap(({ key, operator, values }) =>
      key === 'kubernetes.io/metadata.name' ? (values as string[]) : [`${key} ${operator}`],
    ),
  );
const egressPorts = (policy: KubeManifest): string[] =>
  listOf(policy['egress']).map(({ ports }) =>
    listOf(ports)
      .map(({ port }) => String(port))
      .join('+'),
  );

describe('the NetworkPolicy of the pods that serve', () => {
  it("lets in apps, users' system pods and the system's namespaces, and Prometheus to the metrics only", () => {
    const policy = policyOf(renderVariant('olares-1.12.0'));
    expect(toPort(policy, 'http').map(namespacesOf)).toEqual([
      ['bytetrade.io/ns-owner Exists', 'os-framework', 'os-platform'],
    ]);
    expect(toPort(policy, 'metrics').map(namespacesOf)).toEqual([['monitoring']]);
    expect(policy['ingress']).toHaveLength(2);
  });

  it('lets in the namespaces of believed ServiceAccounts without their being named again', () => {
    const policy = policyOf(renderVariant('trusted ServiceAccounts'));
    expect(toPort(policy, 'http').map(namespacesOf)).toEqual([
      ['bytetrade.io/ns-owner Exists', 'os-framework', 'os-platform', 'proxies'],
    ]);
    expect(toPort(policyOf(renderVariant('a Settings app of its own')), 'http').map(namespacesOf)).toEqual([
      ['bytetrade.io/ns-owner Exists', 'os-framework', 'os-platform', 'os-settings'],
    ]);
  });

  it('never lets in everybody by an empty list of peers', () => {
    const everyone = renderProfile('olares-1.12.0', {
      networkPolicy: { ingress: { monitoringNamespaces: [], systemNamespaces: [] } },
    });
    for (const { from } of policyOf(everyone)['ingress']) expect(from.length).toBeGreaterThan(0);
  });

  it('lets out to names, the API server, Infisical, LLDAP, Redis and the collector, each where it is configured', () => {
    expect(egressPorts(policyOf(renderVariant('standalone-embedded')))).toEqual(['53+53']);
    expect(egressPorts(policyOf(renderVariant('olares-1.12.0')))).toEqual([
      '53+53',
      '443+6443',
      '443+8088',
      '17170',
    ]);
    expect(egressPorts(policyOf(renderVariant('authorities, proxy, tracing')))).toEqual([
      '53+53',
      '443+6443',
      '3128',
      '17170',
      '6379',
      '4318',
    ]);
    expect(egressPorts(policyOf(renderVariant('a proxy with a password')))[2]).toBe('8888');
    const sentinels = policyOf(renderVariant('Sentinels and an authority of their own'));
    expect(egressPorts(sentinels)[3]).toBe('6379+26379');
  });

  it.each([
    ['http://infisical', '80'],
    ['https://infisical/', '443'],
    ['https://infisical:8443', '8443'],
    ['http://[fd00::1]:8080/api', '8080'],
    ['https://[fd00::1]', '443'],
  ])('knows the port of %s', (url, port) => {
    expect(egressPorts(policyOf(renderProfile('high-availability', { infisical: { url } })))[2]).toBe(port);
  });

  it("lets out to Olares' own Infisical, whose Service is at port 80 and whose pods are at 8088", () => {
    const infisical = { url: 'http://infisical.os-protected' };
    expect(egressPorts(policyOf(renderProfile('olares-1.12.0', { infisical })))[2]).toBe('80+8088');
  });

  it('lets out to the port of the pods, where their Service has another than the URL', () => {
    const egress = {
      infisical: { ports: [8080] },
      lldap: { ports: [17171] },
      tracing: { ports: [4319, 4320] },
    };
    const policy = policyOf(
      renderProfile('olares-1.12.0', {
        infisical: { url: 'http://infisical.os-platform' },
        tracing: { endpoint: 'http://collector' },
        networkPolicy: { egress },
      }),
    );
    expect(egressPorts(policy).slice(2)).toEqual(['80+8080', '17170+17171', '80+4319+4320']);
  });

  it.each(['vault', 'vault-test', 'vault-unregister'])(
    'and every other of the chart lets names be resolved at the ports of the values: %s',
    (name) => {
      const dns = { ports: [53, 5353] };
      const manifests = renderProfile('olares-1.12.0', { networkPolicy: { egress: { dns } } });
      const ports = listOf(one(manifests, 'NetworkPolicy', name)['spec'].egress).flatMap((rule) =>
        listOf(rule['ports']).filter(({ protocol, port }) => protocol === 'UDP' && port),
      );
      expect(ports.map(({ port }) => port)).toEqual([53, 5353]);
    },
  );

  it("lets out to the ports that Redis' URL and Sentinels name", () => {
    const at = (redis: Values): string | undefined =>
      egressPorts(policyOf(renderProfile('high-availability', { redis })))[3];
    expect(at({})).toBe('6379');
    expect(at({ url: 'rediss://user:pass@redis.example:6390/0' })).toBe('6379+6390');
    expect(at({ url: 'redis://redis.example' })).toBe('6379');
    expect(at({ sentinel: { hosts: ['a:26380', 'b', '[fd00::1]:26381', '[fd00::2]'] } })).toBe(
      '6379+26379+26380+26381',
    );
  });

  it('is as narrow as its values', () => {
    const { egress } = policyOf(renderVariant('narrow network'));
    expect(listOf(egress).slice(1)).toEqual([
      { ports: [{ protocol: 'TCP', port: 6443 }], to: [{ ipBlock: { cidr: '10.0.0.1/32' } }] },
      {
        ports: [443, 8088].map((port) => ({ protocol: 'TCP', port })),
        to: [{ namespaceSelector: {} }],
      },
      {
        ports: [{ protocol: 'TCP', port: 17170 }],
        to: [{ podSelector: { matchLabels: { app: 'lldap' } } }],
      },
      { ports: [{ port: 5432 }] },
    ]);
  });
});
