import { join } from 'node:path';
import { CHART, helm, merged, type Profile, THREE_VALUES, type Values } from './chart';

/** What an operator reads after the install; Helm 3 shows it with a cluster at hand only. */
function notesOf(profile: Profile, values: Values = {}): string {
  const file = join(CHART, `values/${profile}.yaml`);
  const args = ['install', 'vault', CHART, '-n', 'os-platform', '--dry-run=client', '-f', file, '-f', '-'];
  const { ok, stdout, stderr } = helm('helm 4', args, merged(THREE_VALUES[profile], values));
  if (!ok) throw new Error(stderr);
  return stdout.slice(stdout.indexOf('vault is the secret service'));
}

describe('after an install', () => {
  it('one reads where the service is, how to try it, and how to keep the master key', () => {
    const notes = notesOf('standalone-embedded');
    expect(notes).toContain('http://vault.os-platform.svc:8080');
    expect(notes).toContain('kubectl rollout status statefulset/vault -n os-platform');
    expect(notes).toContain('helm test vault -n os-platform --logs');
    expect(notes).toContain(
      'kubectl exec statefulset/vault -n os-platform -- node dist/cli/olares-secrets.js doctor',
    );
    expect(notes).toContain(
      "kubectl get secret vault-master-key -n os-platform -o jsonpath='{.data.master-key}'",
    );
    expect(notes).toContain('There is one pod');
  });

  it('one reads a command that runs Node where the image has it', () => {
    expect(notesOf('standalone-embedded', { image: { node: '/nodejs/bin/node' } })).toContain(
      '-- /nodejs/bin/node dist/cli/olares-secrets.js doctor',
    );
  });

  it('one reads what is open: the network, and deleted users whom nobody tells of', () => {
    const open = { networkPolicy: { enabled: false }, identity: { systemEventServiceAccounts: [] } };
    expect(notesOf('olares-1.12.0', open)).toContain('every pod of the cluster may reach the service');
    expect(notesOf('olares-1.12.0', open)).toContain('identity.systemEventServiceAccounts is empty');
    expect(notesOf('olares-1.12.0')).not.toContain('is empty');
    const closed = notesOf('high-availability', { tls: { existingSecret: 'tls' } });
    expect(closed).toContain('https://vault.os-platform.svc:8080');
    expect(closed).not.toMatch(/every pod|is empty|There is one pod/);
  });

  it('one reads that there are no alerts where the Prometheus operator is not installed', () => {
    const says = 'This cluster does not serve monitoring.coreos.com/v1';
    expect(notesOf('high-availability')).toContain(says);
    const off = { metrics: { serviceMonitor: { enabled: false }, prometheusRule: { enabled: false } } };
    expect(notesOf('high-availability', off)).not.toContain(says);
  });
});
