import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import {
  type RegistrationObject,
  providerRegistry,
  sysEventRegistries,
} from '../../src/registration/registered-objects';
import { CHART, merged, ROOT, THREE_VALUES, type Values } from './chart';
import { FakeCluster } from './fake-cluster';
import { FAMILIES, type Family, tool } from './helm-tools';

const ENDPOINT = { service: 'vault', namespace: 'os-platform', port: 8080 };
const PAGE = readFileSync(join(CHART, 'README.md'), 'utf8');
const [, SECTION = ''] = /\n## An uninstall that fails\n([\s\S]*?)\n## /.exec(PAGE) ?? [];
/** As they are typed for release `vault` in namespace `os-platform`, and the pod of the test only where there was one. */
const COMMANDS = [...SECTION.matchAll(/^kubectl .+$/gm)].map(([command]) =>
  command.replaceAll('<namespace>', 'os-platform').replaceAll(/<(name|release)>/g, 'vault'),
);

function pathOf({ apiVersion, kind, metadata }: RegistrationObject): string {
  const plural = kind === 'ProviderRegistry' ? 'providerregistries' : 'syseventregistries';
  return `/apis/${apiVersion}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`;
}

const FAILED = {
  failed: 1,
  conditions: [{ type: 'Failed', status: 'True', reason: 'DeadlineExceeded', message: 'too long' }],
};

describe.each(FAMILIES)('a release of %s', (family: Family) => {
  let cluster: FakeCluster;
  let folder: string;
  beforeEach(async () => {
    cluster = await FakeCluster.start();
    folder = mkdtempSync(join(tmpdir(), 'helm-release-'));
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'fake', cluster: { server: cluster.url } }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }],
      users: [{ name: 'fake', user: {} }],
      'current-context': 'fake',
    };
    writeFileSync(join(folder, 'kubeconfig'), stringify(kubeconfig));
  });
  afterEach(async () => {
    await cluster.close();
    rmSync(folder, { recursive: true });
  });

  const helm = (...args: readonly string[]): Promise<{ readonly ok: boolean; readonly text: string }> =>
    new Promise((done) => {
      const env = { HOME: folder, KUBECONFIG: join(folder, 'kubeconfig'), GOGC: 'off' };
      execFile(tool(family, 'helm'), [...args, '-n', 'os-platform'], { env }, (error, stdout, stderr) =>
        done({ ok: error === null, text: stdout + stderr }),
      );
    });
  /** A line of the page, with the kubectl that comes with this Helm. */
  const shell = (command: string): Promise<void> =>
    new Promise((done, fail) => {
      const env = { HOME: folder, KUBECONFIG: join(folder, 'kubeconfig'), GOGC: 'off' };
      const args = command.split(' ').slice(1);
      execFile(tool(family, 'kubectl'), args, { env }, (error, _stdout, stderr) =>
        error === null ? done() : fail(new Error(stderr)),
      );
    });
  const apply = async (verb: 'install' | 'upgrade', values: Values = {}) => {
    writeFileSync(join(folder, 'values'), stringify(merged(THREE_VALUES['olares-1.12.0'], values)));
    const files = ['-f', join(CHART, 'values/olares-1.12.0.yaml'), '-f', join(folder, 'values')];
    const ran = await helm(verb, 'vault', CHART, ...files, '--disable-openapi-validation');
    expect(ran.text).toContain('STATUS: deployed');
  };
  const keys = () => cluster.names().filter((name) => name.includes('access-token'));

  const JOBS_OWN = [
    'ClusterRole',
    'ClusterRoleBinding',
    'NetworkPolicy',
    'Role',
    'RoleBinding',
    'ServiceAccount',
  ];
  const uninstallInVain = async () => {
    await apply('install');
    expect(cluster.names()).toContain('Deployment/vault');
    for (const manifest of [providerRegistry(ENDPOINT, 'user-system-alice'), ...sysEventRegistries(ENDPOINT)])
      cluster.put(pathOf(manifest), { ...manifest });
    cluster.jobStatus = FAILED;
    const { ok, text } = await helm('uninstall', 'vault', '--timeout', '20s');
    expect(text).toContain('uninstallation completed with 1 error(s)');
    expect(ok).toBe(false);
  };
  const REGISTERED = [
    'ProviderRegistry/secret-provider',
    'SysEventRegistry/secret-provider-user-create',
    'SysEventRegistry/secret-provider-user-delete',
  ];

  it('is gone although the job of its uninstall failed: the registrations stay, the job, and with Helm 3 its rights', async () => {
    await uninstallInVain();
    expect((await helm('list', '--all', '-q')).text).not.toContain('vault');
    expect((await helm('uninstall', 'vault')).text).toContain('not found');
    const staying = cluster.names().filter((name) => !REGISTERED.includes(name));
    expect(staying.map((name) => name.split('/')[0])).toEqual(
      family === 'helm 3' ? [...JOBS_OWN, 'Job'].sort() : ['Job'],
    );
    expect(cluster.names()).toEqual(expect.arrayContaining(REGISTERED));
  });

  it('leaves nothing once the commands of helm/README.md were run', async () => {
    await uninstallInVain();
    for (const command of COMMANDS.filter((one) => one.startsWith('kubectl delete '))) await shell(command);
    expect(cluster.names()).toEqual([]);
  });

  it('leaves nothing of its own once it was installed again and uninstalled', async () => {
    await uninstallInVain();
    cluster.jobStatus = { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] };
    await apply('install');
    expect((await helm('uninstall', 'vault', '--timeout', '20s')).text).toContain('uninstalled');
    // The job, which is none here, takes these.
    expect(cluster.names()).toEqual(REGISTERED);
  });

  it('runs the job that takes the registrations back at the upgrade that switches them off, and not before', async () => {
    await apply('install');
    cluster.jobStatus = FAILED;
    await apply('upgrade');
    await expect(apply('upgrade', { registration: { enabled: false } })).rejects.toThrow('post-upgrade');
    cluster.jobStatus = { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] };
    await apply('upgrade', { registration: { enabled: false } });
    expect(cluster.names().filter((name) => name.includes('unregister'))).toEqual([]);
  });

  it('has its pods made anew by the commands that docs/runbook.md has for a token that counts no more', async () => {
    await apply('install');
    const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
    const [command = ''] = /kubectl rollout restart deployment\/<release>/.exec(runbook) ?? [];
    await shell(`${command.replace('<release>', 'vault')} -n os-platform`);
    expect(cluster.text('Deployment', 'vault')).toContain('kubectl.kubernetes.io/restartedAt');
  });

  it('is rolled back to before another generation of its key, and forth again', async () => {
    await apply('install');
    const first = keys();
    await apply('upgrade', { accessToken: { generation: 2 } });
    expect(keys()).toEqual(['Secret/vault-access-token-key-2']);
    const back = await helm('rollback', 'vault', '1');
    expect(back.text).toContain('success');
    expect(keys()).toEqual(first);
    expect((await helm('rollback', 'vault', '2')).text).toContain('success');
    expect(keys()).toEqual(['Secret/vault-access-token-key-2']);
  });

  it('whose key was replaced by deleting its Secret is rolled back once that is deleted again', async () => {
    await apply('install');
    cluster.remove('Secret', 'vault-access-token-key');
    await apply('upgrade');
    expect((await helm('rollback', 'vault', '1')).text).toContain('field is immutable');
    cluster.remove('Secret', 'vault-access-token-key');
    expect((await helm('rollback', 'vault', '1')).text).toContain('success');
  });
});
