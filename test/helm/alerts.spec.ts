import { listOf, merged, one, type Profile, render, THREE_VALUES, type Values } from './chart';

/** The expressions of the alerts by their names. */
function alertsOf(profile: Profile, values: Values = {}): ReadonlyMap<unknown, string> {
  const given = merged(THREE_VALUES[profile], { metrics: { prometheusRule: { enabled: true } }, ...values });
  const rule = one(render({ profiles: [profile], values: given }), 'PrometheusRule');
  return new Map(listOf(rule['spec'].groups[0].rules).map(({ alert, expr }) => [alert, String(expr)]));
}

it('a cluster without an app that asks for secrets alerts only where no caller of Olares’ own holds static grants', () => {
  expect([...alertsOf('olares-1.12.0').keys()]).toContain('SecretProviderNoApps');
  expect([...alertsOf('olares', { olares: { staticGrants: [] } }).keys()]).toContain('SecretProviderNoApps');
  const beside = alertsOf('olares');
  expect([...beside.keys()]).not.toContain('SecretProviderNoApps');
  expect(beside.size).toBe(alertsOf('olares-1.12.0').size - 1);
});

it('a call to Infisical whose answer nobody waited for any more is no failure of Infisical, and no success', () => {
  expect(alertsOf('olares-1.12.0').get('SecretProviderUpstreamFailing')).toMatch(
    /^sum .*\(osp_upstream_calls_total\{outcome!~"ok\|cancelled",namespace="os-platform",.* \/ sum .*\(osp_upstream_calls_total\{outcome!="cancelled",namespace="os-platform",/,
  );
});
