import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '../../src/time/clock';
import { TestAuthority } from '../support/certificates';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { TlsFront } from '../support/tls-front';
import { userToken } from '../support/tokens';
import { listOf, one, ROOT } from './chart';
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
  const { data } = one(renderVariant('a test with an app'), 'ConfigMap', 'vault-test');
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
      resolve({
        code: error === null ? 0 : Number(error.code),
        lines: `${stdout}${stderr}`.trim().split('\n'),
      }),
    );
  });
}

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
    expect([run.code, lastOf(run)]).toEqual([
      1,
      expect.stringMatching(/^FAILED .* HTTP 503, store: ok, grants: /),
    ]);
  });

  it('fails where what is read is not what was written, and prints no value', async () => {
    const wrong = Object.create(store) as MemorySecretStore;
    wrong.retrieve = async (_scope, name) => ({ secret: { name, value: 'canary-value' } });
    await service.close();
    service = await startService({ clock, store: wrong, grantSource: grants });
    const run = await helmTest(await appFiles(OTMOICLP));
    expect([run.code, lastOf(run)]).toEqual([
      1,
      expect.stringMatching(/^FAILED +RetrieveSecret .*another answer$/),
    ]);
    expect(run.lines.join()).not.toContain('canary');
  });

  it('fails where nobody answers', async () => {
    const run = await helmTest({ SERVICE_URL: 'http://127.0.0.1:1' });
    expect([run.code, lastOf(run)]).toEqual([1, expect.stringContaining('ECONNREFUSED')]);
  });

  describe('with TLS', () => {
    const authority = new TestAuthority();
    let front: TlsFront;
    const write = (name: string, text: string): string => {
      mkdirSync(join(folder, 'client'), { recursive: true });
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const startFront = async (options: object = {}): Promise<Readonly<Record<string, string>>> => {
      front = await TlsFront.start({ ...authority.certificateFor('127.0.0.1'), ...options }, service.url);
      const url = `https://127.0.0.1:${front.port}`;
      return { SERVICE_URL: url, METRICS_URL: service.url, CA_FILE: write('ca.crt', authority.cert) };
    };
    afterEach(async () => front.close());

    it('believes the authority that it is given, and no other', async () => {
      const env = await startFront();
      expect(await helmTest(env)).toMatchObject({ code: 0 });
      const run = await helmTest({ ...env, CA_FILE: write('ca.crt', new TestAuthority().cert) });
      expect([run.code, lastOf(run)]).toEqual([1, expect.stringMatching(/CERT|UNABLE_TO_VERIFY/)]);
    });

    it('with client certificates shows its own, and sees that nobody gets in without', async () => {
      const env = await startFront({ requestCert: true, rejectUnauthorized: true, ca: authority.cert });
      const { key, cert } = authority.certificateFor('helm-test');
      write('client/tls.crt', cert);
      write('client/tls.key', key);
      const required = { ...env, CLIENT_CERTIFICATE_REQUIRED: 'true' };
      const shown = await helmTest({ ...required, CLIENT_CERTIFICATE_DIR: join(folder, 'client') });
      expect([shown.code, shown.lines.length]).toEqual([0, 8]);
      const without = await helmTest(required);
      expect([without.code, without.lines.length]).toEqual([0, 3]);
    });

    it('fails where client certificates are required and the service does not ask for them', async () => {
      const run = await helmTest({ ...(await startFront()), CLIENT_CERTIFICATE_REQUIRED: 'true' });
      expect([run.code, lastOf(run)]).toEqual([1, expect.stringContaining('nobody gets in without')]);
    });
  });

  it('is given what the rendered pod mounts and no more', () => {
    const { spec } = one(renderVariant('client certificates from a ConfigMap, and one for the test'), 'Pod');
    expect(JSON.stringify(spec)).not.toContain('"key":"tls.key","path":"tls.key"');
    const env = Object.fromEntries(listOf(spec.containers[0].env).map(({ name, value }) => [name, value]));
    expect(env).toEqual({
      SERVICE_URL: 'https://vault.os-platform.svc:8080',
      METRICS_URL: 'http://vault-metrics.os-platform.svc:9464',
      CA_FILE: '/run/test/ca.crt',
      CLIENT_CERTIFICATE_REQUIRED: 'true',
      CLIENT_CERTIFICATE_DIR: '/run/test/client',
    });
  });
});
