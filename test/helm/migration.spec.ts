import { HARDENING_FLAGS } from '../image/recipe';
import { type KubeManifest, renderProfile, type Values } from './chart';

const DATABASE = 'postgres://infisical_os_protected@database:5433/os_protected_infisical';
const rendered = (values: Values = {}, others: Values = {}): readonly KubeManifest[] =>
  renderProfile('olares', {
    ...others,
    migration: { enabled: true, database: { url: DATABASE }, ...values },
  });

const jobOf = (values: Values = {}, others: Values = {}): KubeManifest => {
  const [job] = rendered(values, others).filter(
    ({ kind, metadata }) => kind === 'Job' && /migration/.test(metadata.name),
  );
  if (job === undefined) throw new Error('there is no Job');
  return job;
};

describe("the chart's migration", () => {
  it('is off unless it is asked for', () => {
    expect(renderProfile('olares').filter(({ metadata }) => /migration/.test(metadata.name))).toEqual([]);
  });

  it('runs the command with --resume, and once where it ends with a report, by files in place of secrets in its environment', () => {
    const [container] = jobOf({ arguments: ['--dry-run'] })['spec'].template.spec.containers;
    expect(container.command).toEqual(['node', ...HARDENING_FLAGS, 'dist/cli/migrate-from-tapr.js']);
    expect(container.args).toEqual([
      '--resume',
      '--exit-zero',
      '--state',
      '/state/migrate-from-tapr.state.json',
      '--dry-run',
    ]);
    expect(container.env).toEqual([
      { name: 'TAPR_DATABASE_URL', value: DATABASE },
      { name: 'TAPR_DATABASE_PASSWORD_FILE', value: '/run/migration/database-password' },
      { name: 'TAPR_JWT_AUTH_SECRET_FILE', value: '/run/migration/jwt-auth-secret' },
    ]);
  });

  it('keeps its state while its container is started again, and is another Job where its template is another', () => {
    const job = jobOf();
    expect(job['spec'].template.spec.restartPolicy).toBe('OnFailure');
    const other = jobOf({ arguments: ['--dry-run'] });
    expect(other['metadata'].name).not.toBe(job['metadata'].name);
    expect(jobOf()['metadata'].name).toBe(job['metadata'].name);
  });

  it('has a name that Kubernetes takes, however long that of the release is', () => {
    const { name } = jobOf({}, { fullnameOverride: 'v'.repeat(47) })['metadata'];
    expect(name).toMatch(/^v+-migration-[0-9a-f]{8}$/);
    expect(name.length).toBeLessThanOrEqual(63);
  });

  it('may list the users of the cluster, and nothing else', () => {
    const roles = rendered().filter(
      ({ kind, metadata }) => /Role$/.test(String(kind)) && /migration/.test(metadata.name),
    );
    expect(roles.map((role) => role['rules'])).toEqual([
      [{ apiGroups: ['iam.kubesphere.io'], resources: ['users'], verbs: ['list'] }],
    ]);
  });

  it("reaches the database's port", () => {
    const policies = rendered().filter(
      ({ kind, metadata }) => kind === 'NetworkPolicy' && /migration/.test(metadata.name),
    );
    expect(JSON.stringify(policies)).toContain('"port":5433');
  });
});
