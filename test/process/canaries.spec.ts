import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { grantKey, SECRET_OPERATIONS } from '../../src/authz/grant';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { Canaries, canary } from '../support/canaries';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { FakeCollector } from '../support/fake-collector';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

const MAIN = resolve(__dirname, '../../dist/main.js');
const OPS = SECRET_OPERATIONS.map((operation) => grantKey(operation, 'notes'));
/** Names of values that the service reads from a file or from the environment. */
const SECRET_SETTINGS = ['MASTER_KEY', 'USER_TOKEN_SECRET', 'ACCESS_TOKEN_KEY', 'AUDIT_KEY', 'INFISICAL_CLIENT_SECRET', 'REDIS_PASSWORD', 'REDIS_URL']; // prettier-ignore

const canaries = new Canaries();
const root = mkdtempSync(join(tmpdir(), 'canaries-'));
const app = { app: 'notes', user: 'alice', appKey: canaries.make('app key').slice(0, 24), appSecret: canaries.make('app secret').slice(0, 24), ops: OPS }; // prettier-ignore
const keys = {
  USER_TOKEN_SECRET: canaries.make('USER_TOKEN_SECRET').repeat(2),
  ACCESS_TOKEN_KEY: canaries.make('ACCESS_TOKEN_KEY').repeat(2),
  AUDIT_KEY: canaries.make('AUDIT_KEY'),
};
const clientSecret = canaries.make('INFISICAL_CLIENT_SECRET');
const [stored, crashing] = [canaries.make('a stored value'), canaries.make('the secret of a crash')];

afterAll(() => rmSync(root, { recursive: true }));

describe('no value, token or key leaves the process', () => {
  const grants = new GrantsFolder([app]);
  let fake: FakeInfisical;
  let collector: FakeCollector;
  let service: ChildService;
  let headers: Record<string, string>;
  let audits = 0;
  beforeAll(async () => {
    fake = await FakeInfisical.start({ apiVersion: 'v3', clientId: 'an-identity', clientSecret });
    const issue = fake.issueToken.bind(fake);
    fake.issueToken = (identity) => {
      const token = issue(identity);
      canaries.plant('a token of Infisical', token.split('.', 1).join());
      return token;
    };
    collector = await FakeCollector.start();
  });
  afterAll(async () => {
    await fake.close();
    await collector.close();
    rmSync(grants.root, { recursive: true });
  });

  const auditFile = () => join(root, `audit-${audits}.log`);
  beforeEach(async () => {
    audits += 1;
    fake.calls.length = 0;
    service = await ChildService.start({
      PORT: '0',
      METRICS_PORT: '0',
      NODE_ENV: 'production',
      LOG_LEVEL: 'trace',
      LOG_FORMAT: 'json',
      GRANTS_DIR: grants.dir,
      ...keys,
      AUDIT: 'file',
      AUDIT_FILE: auditFile(),
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: 'an-identity',
      INFISICAL_CLIENT_SECRET: clientSecret,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      NODE_OPTIONS: `--import ${join(__dirname, 'crash-on-signal.mjs')}`,
      CRASH_SECRET: crashing,
    });
    const key = (name: keyof typeof keys) => ({ key: Buffer.from(keys[name]) });
    headers = {
      'x-authorization': canaries.plantToken('user token', await userToken('alice', Date.now(), key('USER_TOKEN_SECRET'))), // prettier-ignore
      'x-access-token': canaries.plantToken('access token', await accessToken('notes', 'alice', OPS, Date.now(), key('ACCESS_TOKEN_KEY'))), // prettier-ignore
    };
  });
  afterEach(() => {
    fake.heal();
    return service.end('SIGKILL');
  });

  const operate = (operation: string, body: object) =>
    httpCall(`http://127.0.0.1:${service.ports.main}/${operation}?workspace=notes`, { headers, body });

  /** What the process shows besides what it prints. */
  async function shownAlive(): Promise<string> {
    const proc = (name: string) => readFileSync(`/proc/${service.pid}/${name}`, 'utf8');
    const metrics = await httpCall(`http://127.0.0.1:${service.ports.metrics}/metrics`, { method: 'GET' });
    return [proc('cmdline'), proc('comm'), proc('status'), metrics.text].join('\n');
  }
  const shown = () => [service.output, readFileSync(auditFile(), 'utf8'), ...collector.bodies].join('\n');

  it('while it serves, and when it ends', async () => {
    await operate('CreateSecret', { name: 'n', value: stored });
    expect((await operate('RetrieveSecret', { name: 'n' })).body.data.value).toBe(stored);
    fake.fail({ times: 100, fault: { kind: 'answer', status: 500, body: { message: `${clientSecret} ${stored}` } } }); // prettier-ignore
    expect((await operate('UpdateSecret', { name: 'n', value: stored })).status).toBe(503);
    expect(canaries.leaksIn(await shownAlive())).toEqual([]);
    expect(await service.end()).toBe(0);
    expect(readFileSync(auditFile(), 'utf8')).toContain('"name":"n"');
    expect(collector.bodies.length).toBeGreaterThan(0);
    expect(canaries.leaksIn(shown())).toEqual([]);
  });

  it('when it ends in the midst of writes', async () => {
    fake.fail({ method: 'POST', times: 100, fault: { kind: 'delay', ms: 300 } });
    const calls = Array.from({ length: 20 }, (_, at) => operate('CreateSecret', { name: `m${at}`, value: stored }).catch(() => undefined)); // prettier-ignore
    await eventually(() => expect(fake.calls.some(({ target }) => target.includes('/m'))).toBe(true));
    await service.end();
    for (const answer of await Promise.all(calls)) expect(canaries.leaksIn(answer?.text ?? '')).toEqual([]);
    expect(canaries.leaksIn(shown())).toEqual([]);
  });

  it.each([
    ['an error that nobody caught', 'SIGUSR2'],
    ['a promise whose rejection nobody caught', 'SIGWINCH'],
  ] as const)('when it ends because of %s, of which only the class is told, and where it was thrown', async (_what, signal) => {
    await operate('CreateSecret', { name: signal, value: stored });
    expect(await service.end(signal)).toBe(1);
    expect(service.output).toMatch(/ends because of an unexpected error \(TypeError at .*crash-on-signal\.mjs:\d+/);
    expect(canaries.leaksIn(shown())).toEqual([]);
  }); // prettier-ignore
});

describe('a start that fails', () => {
  const start = (env: Readonly<Record<string, string>>) =>
    spawnSync(process.execPath, [MAIN], { env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', PORT: '0', DATA_DIR: join(root, 'data'), GRANTS_DIR: root, ...env }, encoding: 'utf8', timeout: 20_000 }); // prettier-ignore
  beforeAll(() => writeFileSync(join(tmpdir(), `canary-file-${process.pid}`), canary('a file').slice(0, 13)));
  afterAll(() => rmSync(join(tmpdir(), `canary-file-${process.pid}`)));

  it.each<[string, () => Readonly<Record<string, string>>]>([
    ['secrets that are too short', () => Object.fromEntries(SECRET_SETTINGS.map((name) => [name, canaries.make(`short ${name}`).slice(0, 14)]))], // prettier-ignore
    ['secrets where other settings belong', () => Object.fromEntries(['PORT', 'METRICS_PORT', 'LOG_LEVEL', 'AUDIT', 'INFISICAL_URL', 'LLDAP_URL', 'RATE_LIMIT_APP_READS', 'TLS_CERT_FILE', 'HTTPS_PROXY', 'STATIC_GRANTS', 'HOST'].map((name) => [name, canaries.make(`in ${name}`)]))], // prettier-ignore
    ['passwords in addresses', () => ({ INFISICAL_URL: `ftp://u:${canaries.make('a password')}@x`, REDIS_URL: `http://:${canaries.make('another password')}@x` })], // prettier-ignore
    ['a secret in a file that is too short', () => ({ MASTER_KEY_FILE: join(tmpdir(), `canary-file-${process.pid}`), USER_TOKEN_SECRET: canaries.make('beside') })], // prettier-ignore
    ['a certificate file that is none', () => ({ ...keys, MASTER_KEY: canaries.make('MASTER_KEY'), TLS_CERT_FILE: join(tmpdir(), `canary-file-${process.pid}`), TLS_KEY_FILE: join(tmpdir(), `canary-file-${process.pid}`) })], // prettier-ignore
  ])('because of %s names none of them', (_what, env) => {
    canaries.plant('a file', canary('a file').slice(0, 13));
    const { status, stdout, stderr } = start(env());
    expect([status, stderr.includes('cannot start')]).toEqual([1, true]);
    expect(canaries.leaksIn(`${stdout}${stderr}`)).toEqual([]);
  });
});
