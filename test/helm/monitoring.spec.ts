import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { SETTING_DEFINITIONS } from '../../src/config/setting-definitions';
import { STATUS_OF } from '../../src/errors/domain-error';
import { METRIC_DEFINITIONS, type MetricDefinition } from '../../src/telemetry/metric-definitions';
import {
  chartFile,
  type KubeManifest,
  listOf,
  merged,
  one,
  PROFILES,
  render,
  renderProfile,
  ROOT,
  THREE_VALUES,
  type Values,
} from './chart';
import { workloadOf } from './pod-files';
import { renderVariant } from './variants';

/** The service's own metrics with their labels. */
const METRICS = new Map<string, readonly string[]>(
  Object.entries<MetricDefinition>(METRIC_DEFINITIONS).map(([name, { labels = {} }]) => [
    name,
    Object.keys(labels),
  ]),
);
const RUNBOOK = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');

const manifests = renderVariant('high-availability');
const rules: readonly KubeManifest[] = one(manifests, 'PrometheusRule')['spec'].groups[0].rules;
const dashboard = JSON.parse(
  one(manifests, 'ConfigMap', 'vault-dashboard')['data']['olares-secret-provider.json'],
);
const panelExprs: readonly string[] = listOf(dashboard.panels).flatMap(({ targets }) =>
  listOf(targets).map(({ expr }) => String(expr).replaceAll('$__rate_interval', '5m')),
);

interface Read {
  readonly metric: string;
  readonly labels: readonly string[];
}

/** The metrics that a PromQL expression reads, each with the labels that it is narrowed by; undefined where it is no PromQL. */
function metricsIn(expr: string): readonly Read[] | undefined {
  const found: Read[] = [];
  let isValid = true;
  parser.parse(expr).iterate({
    enter: ({ type, node, from, to }) => {
      if (type.isError) isValid = false;
      if (type.name !== 'VectorSelector') return;
      const [metric = ''] = /^\w+/.exec(expr.slice(from, to)) ?? [];
      const labels = node
        .getChild('LabelMatchers')
        ?.getChildren('UnquotedLabelMatcher')
        .map((matcher) => /^\w+/.exec(expr.slice(matcher.from, matcher.to))![0]);
      found.push({ metric, labels: labels ?? [] });
    },
  });
  return isValid ? found : undefined;
}

const OF_PROMETHEUS = ['namespace', 'service', 'pod'];

describe.each([
  ['alerts', rules.map(({ expr }) => String(expr))],
  ['dashboard', panelExprs],
])('every expression of the %s', (_name, exprs) => {
  it.each(exprs)('%s is PromQL over metrics of ours, narrowed to this release', (expr) => {
    const read = metricsIn(expr)!;
    expect(read.length).toBeGreaterThan(0);
    for (const { metric, labels } of read) {
      const name = metric.replace(/_bucket$/, '');
      if (metric.startsWith('osp_')) {
        expect([...METRICS.keys()]).toContain(name);
        expect([...METRICS.get(name)!, ...OF_PROMETHEUS]).toEqual(expect.arrayContaining([...labels]));
      } else {
        expect(metric).toMatch(/^(up|process_\w+)$/);
      }
      expect(labels).toEqual(expect.arrayContaining(['namespace', 'service']));
    }
  });

  it('groups by labels that its metrics have', () => {
    for (const expr of exprs) {
      const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '));
      const offered = (metricsIn(expr) ?? []).flatMap(
        ({ metric }) => METRICS.get(metric.replace(/_bucket$/, '')) ?? [],
      );
      expect([...offered, 'le', 'pod']).toEqual(expect.arrayContaining(grouped));
    }
  });
});

describe('the chart', () => {
  it('names no metric that the service does not serve, and watches each that it does', () => {
    const text = chartFile('files/alerts.yaml') + chartFile('dashboards/olares-secret-provider.json');
    const named = new Set([...text.matchAll(/\bosp_\w+/g)].map(([name]) => name.replace(/_bucket$/, '')));
    expect([...named].filter((name) => !METRICS.has(name))).toEqual([]);
    expect([...METRICS.keys()].filter((name) => !named.has(name))).toEqual([]);
  });

  it('scrapes the metrics port of the Service that only it selects', () => {
    const { selector, endpoints, namespaceSelector } = one(manifests, 'ServiceMonitor')['spec'];
    const services = manifests.filter(
      ({ kind, metadata }) =>
        kind === 'Service' &&
        Object.entries(selector.matchLabels).every(([label, value]) => metadata.labels[label] === value),
    );
    expect(services.map(({ metadata, spec }) => [metadata.name, spec.ports])).toEqual([
      ['vault-metrics', [{ name: 'metrics', port: 9464, targetPort: 'metrics' }]],
    ]);
    expect(namespaceSelector).toEqual({ matchNames: ['os-platform'] });
    expect(endpoints[0]).toEqual({ port: 'metrics', path: '/metrics', interval: '30s' });
  });

  it('takes thresholds from the values that they are about', () => {
    const exprOf = (values: Values, alert: string): string => {
      const rule = one(renderProfile('high-availability', values), 'PrometheusRule');
      return listOf(rule['spec'].groups[0].rules).find((r) => r['alert'] === alert)!['expr'];
    };
    const memory = { requests: { memory: '1Gi' }, limits: { memory: '1Gi' } };
    expect(exprOf({ resources: memory }, 'SecretProviderMemoryHigh')).toMatch(/0\.9 \* 1073741824$/);
    expect(exprOf({}, 'SecretProviderMemoryHigh')).toMatch(/0\.9 \* 536870912$/);
    expect(exprOf({ grants: { maxAgeSeconds: 120 } }, 'SecretProviderGrantsStale')).toMatch(/> 120 \/ 2$/);
  });
});

describe('the Prometheus operator’s kinds', () => {
  const kindsOf = (enabled: boolean | 'auto', apiVersions: readonly string[], more: Values = {}) =>
    render({
      profiles: ['high-availability'],
      values: merged(THREE_VALUES['high-availability'], {
        metrics: { serviceMonitor: { enabled }, prometheusRule: { enabled }, ...more },
      }),
      apiVersions,
    })
      .map(({ kind }) => String(kind))
      .filter((kind) => ['ServiceMonitor', 'PrometheusRule'].includes(kind))
      .sort();
  const SERVED = ['monitoring.coreos.com/v1'];
  const BOTH = ['PrometheusRule', 'ServiceMonitor'];

  it.each([
    ['auto', SERVED, BOTH],
    ['auto', [], []],
    [true, [], BOTH],
    [false, SERVED, []],
  ] as const)('with %s, in a cluster that serves %p, are made: %p', (enabled, served, expected) => {
    expect(kindsOf(enabled, served)).toEqual(expected);
  });

  it('are not made without metrics where nobody insists', () => {
    expect(kindsOf('auto', SERVED, { enabled: false, dashboard: { enabled: false } })).toEqual([]);
  });

  it('are what the profile for several pods makes where they are served, so that it can be installed anywhere', () => {
    const kinds = (apiVersions: readonly string[]) =>
      render({ profiles: ['high-availability'], values: THREE_VALUES['high-availability'], apiVersions })
        .map(({ apiVersion }) => String(apiVersion))
        .filter((apiVersion) => apiVersion.startsWith('monitoring'));
    expect(kinds(SERVED)).toHaveLength(2);
    expect(kinds([])).toEqual([]);
  });
});

describe('an outage that readiness does not show', () => {
  const exprOf = (alert: string): string => rules.find((rule) => rule['alert'] === alert)!['expr'];

  it('of Infisical, while the cache serves what it has, is told by the share of stale reads', () => {
    const selected = 'namespace="os-platform",service="vault-metrics"';
    expect(exprOf('SecretProviderServingStale')).toBe(
      `sum(rate(osp_cache_reads_total{outcome="stale",${selected}}[5m])) / sum(rate(osp_cache_reads_total{${selected}}[5m])) > 0.2`,
    );
  });

  it('of one pod, while others are healthy, is told by the one that does not answer', () => {
    expect(exprOf('SecretProviderPodDown')).toMatch(/^min\(up\{.*\}\) == 0$/);
  });

  it('of Redis, while each replica goes on alone, is told by its connections', () => {
    expect(exprOf('SecretProviderRedisDown')).toMatch(/^min\(osp_redis_up\{.*\}\) == 0$/);
  });
});

describe('docs/runbook.md', () => {
  const entries = RUNBOOK.split('\n## ').slice(1);
  const alerts: readonly KubeManifest[] = parse(chartFile('files/alerts.yaml')).alerts;

  it('names no metric, no setting and no reason that the service does not have', () => {
    const known = new Set([
      ...METRICS.keys(),
      ...Object.keys(SETTING_DEFINITIONS),
      ...Object.keys(STATUS_OF),
      // Of the command infisical:setup alone.
      'INFISICAL_ADMIN_TOKEN',
    ]);
    const text = RUNBOOK + chartFile('files/alerts.yaml');
    const named = text.match(/\bosp_\w+|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b/g) ?? [];
    expect(named.length).toBeGreaterThan(20);
    expect(
      named.map((name) => name.replace(/_(bucket|FILE)$/, '')).filter((name) => !known.has(name)),
    ).toEqual([]);
  });

  it('names no value that the chart does not have', () => {
    const values = parse(chartFile('values.yaml')) as Values;
    const named = [...RUNBOOK.matchAll(/`([a-z]\w*(?:\.[a-z]\w*)+)`/gi)].map(([, path = '']) =>
      path.split('.'),
    );
    const ofTheChart = named.filter((path) => path[0]! in values);
    const isThere = (path: readonly string[]): boolean =>
      path.reduce<unknown>((at, key) => (at as Values | undefined)?.[key], values) !== undefined;
    expect(ofTheChart.length).toBeGreaterThan(5);
    expect(ofTheChart.filter((path) => !isThere(path))).toEqual([]);
  });

  it.each(PROFILES)('selects by labels and names that are there: %s', (profile) => {
    const rendered = renderProfile(profile, { metrics: { serviceMonitor: { enabled: false } } });
    const { metadata } = workloadOf(rendered)['spec'].template;
    const [, selector = ''] = / -l (\S+) /.exec(RUNBOOK) ?? [];
    const labels = selector
      .replace('<release>', 'vault')
      .split(',')
      .map((label) => label.split('='));
    expect(metadata.labels).toMatchObject(Object.fromEntries(labels) as Values);
    expect([...new Set(RUNBOOK.match(/kubectl logs -l \S+/g))]).toHaveLength(1);
    const [, service = ''] = / svc\/(\S+) /.exec(RUNBOOK) ?? [];
    expect(one(rendered, 'Service', service.replace('<release>', 'vault'))['spec'].ports[0].port).toBe(9464);
  });

  it('has an entry for each alert, and the alert leads there', () => {
    expect(entries.map((entry) => entry.split('\n')[0])).toEqual(alerts.map(({ alert }) => alert));
    for (const { alert, annotations } of rules) {
      expect(annotations.runbook_url).toBe(`docs/runbook.md#${String(alert).toLowerCase()}`);
    }
  });

  it.each(entries.map((entry) => [entry.split('\n')[0], entry]))(
    'says of %s what it means, where to look and what to do',
    (_alert, entry) => {
      for (const part of ['**Means.** ', '**Look at.** ', '**Do.** ']) expect(entry).toContain(`\n${part}`);
    },
  );
});
