import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '../../src/clock/system-clock';
import type { SecretStore } from '../../src/secrets/secret-store';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { userToken } from '../support/tokens';
import { type KubeManifest, one, ROOT } from './chart';
import { renderVariant } from './variants';

const clock = new SystemClock();
let store: MemorySecretStore;
let grants: ReturnType<typeof exampleApps>;
let service: Service;
let folder: string;

beforeEach(async () => {
  [store, grants] = [new MemorySecretStore(), exampleApps()];
  service = await startService({ clock, store, grantSource: grants });
  folder = mkdtempSync(join(tmpdir(), 'helm-test-'));
  // As the pod has it: the script out of the rendered ConfigMap.
  const { data } = one(renderVariant('a test with an app'), 'ConfigMap', 'vault-test') as KubeManifest;
  writeFileSync(join(folder, 'round-trip.mjs'), data['round-trip.mjs']);
});
afterEach(async () => {
  await service.close();
  rmSync(folder, { recursive: true });
});

interface Run {
  readonly code: number;
  readonly lines: readonly string[];
}

async function helmTest(env: Readonly<Record<string, string>> = {}): Promise<Run> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { SERVICE_URL: service.url, ...env } };
    execFile(process.execPath, [join(folder, 'round-trip.mjs')], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), lines: `${stdout}${stderr}`.trim().split('\n') }),
    );
  });
} // prettier-ignore

async function appFiles(app: typeof OTMOICLP): Promise<Readonly<Record<string, string>>> {
  const dir = join(folder, 'app');
  mkdirSync(dir);
  writeFileSync(join(dir, 'app-key'), app.appKey);
  writeFileSync(join(dir, 'app-secret'), `${app.appSecret}\n`);
  writeFileSync(join(dir, 'user-token'), await userToken(app.user, clock.nowMs()));
  return { APP_DIR: dir, WORKSPACE: 'otmoic' };
}

const lastOf = ({ lines }: Run): string => lines.at(-1)!;

describe("the chart's test pod", () => {
  it('asks the service how it is, and that it refuses whom it must', async () => {
    const run = await helmTest({ METRICS_URL: service.url });
    expect(run.lines.filter((line) => !line.startsWith('ok '))).toEqual([]);
    expect([run.code, run.lines.length]).toEqual([0, 7]);
  });

  it("with an app's credentials makes, reads and deletes a secret, and leaves nothing behind", async () => {
    const run = await helmTest(await appFiles(OTMOICLP));
    expect(run.lines.slice(-4)).toEqual([
      expect.stringContaining('the app gets an access token'),
      expect.stringContaining('CreateSecret'),
      expect.stringContaining('RetrieveSecret'),
      expect.stringContaining('DeleteSecret'),
    ]);
    expect([run.code, run.lines.filter((line) => !line.startsWith('ok '))]).toEqual([0, []]);
    expect(service.log()).toContain('"op":"DeleteSecret"');
  });

  it('fails where the app holds too few grants', async () => {
    const run = await helmTest(await appFiles(READER));
    expect([run.code, lastOf(run)]).toEqual([
      1,
      expect.stringMatching(/^FAILED +the app gets an access token: HTTP 200, code 1$/),
    ]);
  });

  it('fails where the service is not ready', async () => {
    grants.setReady(false);
    const run = await helmTest();
    expect([run.code, lastOf(run)]).toEqual([1, expect.stringMatching(/^FAILED .* HTTP 503, store: ok, grants: /)]);
  }); // prettier-ignore

  it('fails where what is read is not what was written, and prints no value', async () => {
    const wrong = Object.create(store) as SecretStore;
    wrong.retrieve = async (...args) => ({ ...(await store.retrieve(...args)), value: 'canary-value' });
    await service.close();
    service = await startService({ clock, store: wrong, grantSource: grants });
    const run = await helmTest(await appFiles(OTMOICLP));
    expect([run.code, lastOf(run)]).toEqual([1, expect.stringMatching(/^FAILED +RetrieveSecret .*another answer$/)]);
    expect(run.lines.join()).not.toContain('canary');
  }); // prettier-ignore

  it('fails where nobody answers', async () => {
    const run = await helmTest({ SERVICE_URL: 'http://127.0.0.1:1' });
    expect([run.code, lastOf(run)]).toEqual([1, expect.stringContaining('ECONNREFUSED')]);
  });

  it('is given what the rendered pod mounts and no more', () => {
    const { spec } = one(renderVariant('client certificates from a ConfigMap, and one for the test'), 'Pod') as KubeManifest;
    expect(JSON.stringify(spec)).not.toContain('"key":"tls.key","path":"tls.key"');
    const env = Object.fromEntries(spec['containers'][0].env.map(({ name, value }: KubeManifest) => [name, value]));
    expect(env).toEqual({
      SERVICE_URL: 'https://vault.os-platform.svc:8080',
      METRICS_URL: 'http://vault-metrics.os-platform.svc:9464',
      CA_FILE: '/run/test/ca.crt',
      CLIENT_CERTIFICATE_REQUIRED: 'true',
      CLIENT_CERTIFICATE_DIR: '/run/test/client',
    });
  }); // prettier-ignore
});
