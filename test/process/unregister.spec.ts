import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { providerRegistry } from '../../src/registration/registered-objects';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { kubeconfigOf } from '../support/kubeconfig';

const COMMAND = resolve(__dirname, '../../dist/cli/unregister.js');
/** The pause between two rounds takes 0.15 s in place of 15: the process has to stay alive as long, and nothing else is hurried. */
const SHORT_PAUSES = `data:text/javascript,${encodeURIComponent(`
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (run, ms, ...args) => setTimeout(run, ms === 15_000 ? 150 : ms, ...args);`)}`;
const ENDPOINT = { service: 'secrets', namespace: 'os-secrets', port: 8080 };

describe('node dist/cli/unregister.js', () => {
  let server: FakeApiServer;
  let dir: string;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    dir = mkdtempSync(join(tmpdir(), 'unregister-'));
  });
  afterEach(async () => {
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  async function run(more: Readonly<Record<string, string>> = {}) {
    const { service, namespace, port } = ENDPOINT;
    const env = {
      PATH: process.env['PATH'] ?? '',
      KUBECONFIG: kubeconfigOf(server, dir),
      PROVIDER_ENDPOINT: `${service}.${namespace}:${port}`,
      ...more,
    };
    const child = spawn(process.execPath, ['--import', SHORT_PAUSES, COMMAND], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise<number | null>((ended) => child.once('close', ended));
    return { code, output };
  }

  it('removes the registrations, and says how many', async () => {
    server.of('providerregistries').put({ ...providerRegistry(ENDPOINT, 'user-system-alice') });
    expect(await run()).toEqual({ code: 0, output: '1 registrations were removed.\n' });
    expect(server.of('providerregistries').list()).toEqual([]);
  });

  it('removes nothing unless it is told for which address', async () => {
    server.of('providerregistries').put({ ...providerRegistry(ENDPOINT, 'user-system-alice') });
    const { code, output } = await run({ PROVIDER_ENDPOINT: '' });
    expect([code, output]).toEqual([
      1,
      expect.stringContaining('PROVIDER_ENDPOINT must be <service>.<namespace>:<port>'),
    ]);
    expect(server.of('providerregistries').list()).toHaveLength(1);
  });

  it('ends with code 1 and one sentence where it may not', async () => {
    server.failing = { status: 403, reason: 'Forbidden' };
    expect(await run()).toEqual({
      code: 1,
      output: 'The registrations could not be removed: 403 Forbidden\n',
    });
  });
});
