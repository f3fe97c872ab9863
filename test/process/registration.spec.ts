import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { httpCall } from '../support/http-call';
import { installApp } from '../support/manifest-config-map';
import { kubeconfigOf } from '../support/kubeconfig';

const MAIN = resolve(__dirname, '../../dist/main.js');
const KEY = 'k'.repeat(64);

describe('a process that registers itself', () => {
  const dir = mkdtempSync(join(tmpdir(), 'registration-'));
  let server: FakeApiServer;
  let first: ChildService;

  beforeAll(async () => {
    server = await FakeApiServer.start();
    server.of('namespaces').put({ metadata: { name: 'user-system-alice' } });
    first = await ChildService.start(envOf('first'));
  });
  afterAll(async () => {
    await first.end();
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  const envOf = (store: string, more: Readonly<Record<string, string>> = {}) => ({
    NODE_ENV: 'production',
    PORT: '0',
    HOST: '127.0.0.1',
    METRICS_PORT: '0',
    DATA_DIR: join(dir, store),
    MASTER_KEY: KEY,
    ACCESS_TOKEN_KEY: KEY,
    USER_TOKEN_SECRET: KEY,
    GRANTS_SOURCE: 'kubernetes',
    KUBECONFIG: kubeconfigOf(server, dir),
    ...more,
  });
  const registered = () =>
    [...server.of('providerregistries').list(), ...server.of('syseventregistries').list()].length;
  const endOf = (env: NodeJS.ProcessEnv): Promise<{ readonly code: number | null; readonly text: string }> =>
    new Promise((done) => {
      const child = execFile(process.execPath, [MAIN], { env }, (_error, stdout, stderr) =>
        done({ code: child.exitCode, text: stdout + stderr }),
      );
    });
  const ENDPOINT = { PROVIDER_ENDPOINT: 'secrets.os:8080' };

  it.each([
    ['its store is another process’s', () => envOf('first', ENDPOINT)],
    ['its port is taken', () => envOf('second', { ...ENDPOINT, PORT: String(first.ports.main) })],
    [
      'the port of its metrics is taken',
      () => envOf('third', { ...ENDPOINT, METRICS_PORT: String(first.ports.main) }),
    ],
  ])('and cannot start, since %s, leaves nothing in the cluster', async (_, env) => {
    const { code, text } = await endOf(env());
    expect(text).toContain('cannot start');
    expect(code).toBe(1);
    expect(registered()).toBe(0);
    const writes = server.requests.filter(
      ({ method, path }) => method !== 'GET' && !path.endsWith('tokenreviews'),
    );
    expect(writes).toEqual([]);
  });

  it('does so once it listens, and tells by readiness and metrics what is refused', async () => {
    server.refusingWrites = ({ kind }) =>
      kind === 'ProviderRegistry' ? { status: 422, reason: 'Invalid' } : undefined;
    const service = await ChildService.start(envOf('fourth', ENDPOINT));
    await service.logs('registration_failed');
    await eventually(() => expect(registered()).toBe(2));
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.metrics}/metrics`)).text();
    expect(metrics).toContain('osp_registrations_failing{resource="providerregistries"} 1');
    expect(metrics).toContain('osp_registrations_failing{resource="syseventregistries"} 0');
    const { status, body } = await httpCall(`http://127.0.0.1:${service.ports.main}/readyz`, {
      method: 'GET',
    });
    expect(status).toBe(200);
    expect((body as { data: { problems: string[] } }).data.problems).toContain(
      'The registration fails for 1 of 1 providerregistries (422 Invalid): registration_failed in the log names one.',
    );
    server.refusingWrites = () => undefined;
    await service.end();
  });

  it('with PROVIDER_REGISTRATION=rbac it keeps roles for an app whose manifest is in a ConfigMap, and no ProviderRegistry', async () => {
    const before = server.of('providerregistries').list();
    installApp(server, { app: 'notes', user: 'alice', ops: ['ListSecret?workspace=notes'] });
    const more = {
      PROVIDER_REGISTRATION: 'rbac',
      PROVIDER_NAME: 'vault',
      GRANT_FEEDS: 'manifests',
      GRANT_APPROVALS_NAMESPACE: 'os',
      USER_TOKEN_REQUIRED: 'false',
    };
    const service = await ChildService.start(envOf('fifth', { ...ENDPOINT, ...more }));
    await eventually(() =>
      expect(server.of('clusterroles').get(undefined, 'osp:alice:notes')).toMatchObject({
        metadata: {
          annotations: {
            'provider-registry-ref': 'user-system-alice/vault',
            'provider-service-ref': 'secrets.os:8080',
          },
        },
        rules: [{ nonResourceURLs: ['/ListSecret?workspace=notes'], verbs: ['create'] }],
      }),
    );
    await eventually(() => expect(server.of('clusterrolebindings').list()).toHaveLength(2));
    expect(server.of('providerregistries').list()).toEqual(before);
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.metrics}/metrics`)).text();
    expect(metrics).toContain('osp_registrations_failing{resource="clusterroles"} 0');
    expect(metrics).toContain('osp_registrations_failing{resource="clusterrolebindings"} 0');
    await service.end();
    expect(server.of('clusterroles').list()).toHaveLength(2);
  });
});
