import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { kubeconfigOf } from '../support/kubeconfig';

const ROOT = resolve(__dirname, '../..');

/** `npm run test:kubernetes`, against a fake in this process. */
async function suite(server: FakeApiServer, ...only: readonly string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'kubernetes-suite-'));
  const jest = resolve(ROOT, 'node_modules/jest/bin/jest.js');
  const child = spawn(process.execPath, [jest, '--config', 'jest.kubernetes.config.js', ...only], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', KUBECONFIG: kubeconfigOf(server, dir) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 180_000,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((ended) => child.once('close', ended));
  rmSync(dir, { recursive: true });
  return { code, output };
}

describe('npm run test:kubernetes', () => {
  let server: FakeApiServer;
  beforeEach(async () => {
    server = await FakeApiServer.start();
  });
  afterEach(() => server.stop());

  it('passes on the fake, whose namespaces take their time to go, twice in a row, and leaves nothing behind', async () => {
    server.terminationMs = 1_500;
    const everything = { apiGroups: ['*'], resources: ['*'], verbs: ['*'] };
    server.of('clusterroles').put({ metadata: { name: 'cluster-admin' }, rules: [everything] });
    // As an earlier run leaves them that was broken off.
    server.of('namespaces').put({ metadata: { name: 'user-system-alice', deletionTimestamp: 'now' } });
    setTimeout(() => server.of('namespaces').delete(undefined, 'user-system-alice'), 3_000).unref();
    expect((await suite(server, '-t', 'pods and peers')).code).toBe(0);
    const { code, output } = await suite(server);
    for (const line of [
      'forgets an app that was removed',
      'know the app and the user by the token',
      'is made, mended',
      'are made, repaired, made again and removed with the rights of the chart alone',
      'are the most that the service can make',
    ])
      expect(output).toContain(`✓ ${line}`);
    expect(output).toContain('the manifests of a real cluster keeps the contract');
    expect(code === 0 ? '' : output).toBe('');
    expect(server.of('clusterroles').list()).toHaveLength(1);
    expect(server.of('clusterrolebindings').list()).toEqual([]);
    expect(server.of('customresourcedefinitions').list()).toEqual([]);
    expect(server.of('namespaces').list()).toEqual([]);
  }, 240_000);

  it('touches no cluster that knows ApplicationPermissions already', async () => {
    server
      .of('customresourcedefinitions')
      .put({ metadata: { name: 'applicationpermissions.sys.bytetrade.io' } });
    const { code } = await suite(server);
    expect(code).toBe(1);
    expect(server.of('customresourcedefinitions').list()).toHaveLength(1);
    expect(server.requests.filter(({ method }) => method !== 'GET')).toHaveLength(1);
  }, 240_000);
});
