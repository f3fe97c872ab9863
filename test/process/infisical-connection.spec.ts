import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TestAuthority } from '../support/certificates';
import { eventually } from '../support/eventually';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { FakeProxy } from '../support/fake-proxy';
import { httpCall } from '../support/http-call';
import { TlsFront } from '../support/tls-front';

const ROOT = resolve(__dirname, '../..');
const HOST = 'infisical.test';
const authority = new TestAuthority();

/** The built programs, with Infisical behind an authority of its own and a proxy with a password. */
describe('an Infisical that only the environment leads to', () => {
  const dir = mkdtempSync(join(tmpdir(), 'connection-'));
  const caFile = join(dir, 'ca.pem');
  writeFileSync(caFile, authority.cert);
  let fake: FakeInfisical;
  let front: TlsFront;
  let proxy: FakeProxy;
  let env: Record<string, string>;
  let printed: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    front = await TlsFront.start(authority.certificateFor(HOST), fake.url);
    proxy = await FakeProxy.start();
    printed = '';
    env = {
      PATH: process.env['PATH'] ?? '',
      INFISICAL_CLIENT_ID: fake.identity.clientId,
      INFISICAL_CLIENT_SECRET: fake.identity.clientSecret,
      INFISICAL_CA_FILE: caFile,
      HTTPS_PROXY: `http://proxy-user:canary@127.0.0.1:${proxy.port}`,
    };
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await Promise.all([front.close(), proxy.close(), fake.close()]);
    expect(printed).not.toMatch(/canary/);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const url = () => `https://${HOST}:${front.port}`;

  function start(script: string, args: readonly string[]) {
    const child = spawn(process.execPath, [join(ROOT, 'dist', script), ...args], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        printed += chunk.toString();
      });
    const ended = new Promise<number | null>((end) => child.once('close', end));
    return { child, ended, output: () => output };
  }
  async function check() {
    const run = start('cli/infisical-setup.js', ['--url', url(), '--check']);
    return [await run.ended, run.output()] as const;
  }

  it('is reached by infisical:setup', async () => {
    const [code, output] = await check();
    expect([code, output.includes('The identity can do all that the service needs')]).toEqual([0, true]);
    expect(new Set(proxy.tunnels)).toEqual(new Set([`${HOST}:${front.port}`]));
    expect(fake.calls.length).toBeGreaterThan(8);
  });

  it('is reached through a proxy whose password is in a file', async () => {
    const { HTTPS_PROXY: proxyUrl = '', ...without } = env;
    env = { ...without, HTTPS_PROXY_FILE: join(dir, 'proxy-url') };
    writeFileSync(env['HTTPS_PROXY_FILE'] ?? '', `${proxyUrl}\n`);
    expect((await check())[0]).toBe(0);
    expect(new Set(proxy.tunnels)).toEqual(new Set([`${HOST}:${front.port}`]));
  });

  it("is trusted by Node's own NODE_EXTRA_CA_CERTS too, alone or beside other authorities", async () => {
    env['NODE_EXTRA_CA_CERTS'] = caFile;
    const { INFISICAL_CA_FILE: _, ...alone } = env;
    const beside = { ...env, INFISICAL_CA_FILE: join(dir, 'stranger.pem') };
    writeFileSync(beside.INFISICAL_CA_FILE, new TestAuthority('stranger').cert);
    for (const given of [alone, beside]) {
      env = given;
      expect((await check())[0]).toBe(0);
    }
  });

  it('is not believed because of NODE_TLS_REJECT_UNAUTHORIZED=0', async () => {
    env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    env['INFISICAL_CA_FILE'] = join(dir, 'stranger.pem');
    writeFileSync(env['INFISICAL_CA_FILE'], new TestAuthority('stranger').cert);
    const [code, output] = await check();
    expect([code, output.includes("Infisical's certificate is of an authority that is not trusted")]).toEqual(
      [1, true],
    );
    expect(fake.calls).toEqual([]);
  });

  it('is not trusted by infisical:setup without the authority, and both settings are checked', async () => {
    const { INFISICAL_CA_FILE: _, ...without } = env;
    env = without;
    const [code, output] = await check();
    expect([code, output.includes("Infisical's certificate is of an authority that is not trusted")]).toEqual(
      [1, true],
    );
    env = { ...without, INFISICAL_CA_FILE: join(dir, 'absent'), HTTPS_PROXY: 'socks://canary' };
    expect(await check()).toEqual([
      2,
      'infisical:setup: HTTPS_PROXY must be an http or https URL without a path, with user and password if it wants any; ' +
        `INFISICAL_CA_FILE: ${join(dir, 'absent')} cannot be read (ENOENT)\n`,
    ]);
    expect(fake.calls).toEqual([]);
  });

  it('is reached by the service, which is ready then', async () => {
    env = { ...env, DATA_DIR: join(dir, 'data'), PORT: '0', INFISICAL_URL: url() };
    const service = start('main.js', []);
    await eventually(() => expect(service.output()).toContain('"listening"'), 15_000);
    const line = service.output().split('\n').find((text) => text.includes('"listening"')) ?? ''; // prettier-ignore
    const readyz = `http://127.0.0.1:${(JSON.parse(line) as { port: number }).port}/readyz`;
    expect((await httpCall(readyz, { method: 'GET' })).status).toBe(200);
    expect(proxy.tunnels).toEqual([`${HOST}:${front.port}`]);
    service.child.kill('SIGTERM');
    expect(await service.ended).toBe(0);
  });

  it('says in the log at the start that INFISICAL_ORGANIZATION_ID is another organization, before anybody asks', async () => {
    env = { ...env, DATA_DIR: join(dir, 'data'), PORT: '0', INFISICAL_URL: url() };
    env['INFISICAL_ORGANIZATION_ID'] = randomUUID();
    const service = start('main.js', []);
    await eventually(() => expect(service.output()).toContain('"infisical_organization_mismatch"'), 15_000);
    expect(service.output()).toContain(
      'INFISICAL_ORGANIZATION_ID is not the organization of the machine identity',
    );
    expect(service.output()).not.toContain(fake.world.organizationId);
    service.child.kill('SIGTERM');
    expect(await service.ended).toBe(0);
  });

  it('stops the start of the service where its settings are wrong', async () => {
    env = { ...env, DATA_DIR: join(dir, 'data'), INFISICAL_URL: url(), HTTPS_PROXY: 'socks://canary' };
    writeFileSync(join(dir, 'empty.pem'), '');
    env['INFISICAL_CA_FILE'] = join(dir, 'empty.pem');
    const service = start('main.js', []);
    expect(await service.ended).toBe(1);
    expect(service.output()).toContain('- HTTPS_PROXY must be');
    expect(service.output()).toContain(
      `- INFISICAL_CA_FILE: ${join(dir, 'empty.pem')} holds no PEM certificate`,
    );
  });
});

it('the commands of the README build what they run', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const built = Object.keys(scripts).filter((name) => /^node (--\S+ )*dist\//.test(scripts[name] ?? ''));
  const unbuilt = built.filter((name) => scripts[`pre${name}`] !== 'nest build');
  expect(unbuilt).toEqual(['start:prod']);
});
