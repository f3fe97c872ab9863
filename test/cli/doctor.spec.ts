import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runChecks } from '../../src/cli/doctor/checks';
import { neededRights } from '../../src/cli/doctor/cluster-checks';
import { examine } from '../../src/cli/doctor/examine';
import { checkNode, HARDENING, spaceOf } from '../../src/cli/doctor/machine-checks';
import { grantSettings } from '../../src/config/grant-settings';
import { EnvironmentReader } from '../../src/config/environment-reader';
import { withDevelopmentCredentials } from '../../src/development/development';
import { HARDENING_FLAGS } from '../image/recipe';
import { TestAuthority } from '../support/certificates';
import { describeWith } from '../support/describe-with';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { type FakeMember, withAdministration } from '../support/fake-infisical/fake-administration';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { kubeconfigOf } from '../support/kubeconfig';
import { RedisServer } from '../support/redis-server';

const ROOT = resolve(__dirname, '../..');
const MAIN = join(ROOT, 'dist/cli/olares-secrets.js');
/** Long enough for a loaded machine; what hangs is given up after less. */
const PATIENT_MS = 20_000;
const SECRET = 'canary-of-a-secret-that-is-long-enough';
const MIB = 1_048_576;

describe('olares-secrets doctor', () => {
  const dir = mkdtempSync(join(tmpdir(), 'doctor-'));
  const servers: Server[] = [];
  let infisical: FakeInfisical;
  let own: FakeMember;
  let cluster: FakeApiServer;
  let env: Record<string, string>;

  beforeAll(async () => {
    infisical = await FakeInfisical.start({ apiVersion: 'v3', clientId: 'canary-id', clientSecret: SECRET });
    own = { identity: infisical.identity, name: 'us', role: 'member', universalAuth: true, secrets: [] };
    withAdministration(infisical, 'v3').members.push(own);
    cluster = await FakeApiServer.start();
  });
  beforeEach(async () => {
    const key = join(dir, 'user-token.key');
    writeFileSync(key, SECRET, { mode: 0o600 });
    chmodSync(key, 0o600);
    env = {
      USER_TOKEN_SECRET_FILE: key,
      ACCESS_TOKEN_KEY: SECRET,
      GRANTS_SOURCE: 'kubernetes',
      KUBECONFIG: kubeconfigOf(cluster, dir),
      INFISICAL_URL: infisical.url,
      INFISICAL_CLIENT_ID: 'canary-id',
      INFISICAL_CLIENT_SECRET: SECRET,
      INFISICAL_ORGANIZATION_ID: infisical.world.organizationId,
      LLDAP_URL: await serverThat((_request, response) => response.end('{"status":"invalid token"}')),
    };
    cluster.denied.clear();
    infisical.clockSkewMs = 0;
  });
  afterAll(async () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    await infisical.close();
    await cluster.stop();
    rmSync(dir, { recursive: true });
  });

  async function serverThat(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** By the names of the checks, what each of them says; of several results of one check, the lines. */
  async function examined(
    changes: Readonly<Record<string, string>> = {},
    timeoutMs = PATIENT_MS,
  ): Promise<Readonly<Record<string, string>>> {
    const given = Object.entries({ ...env, ...changes }).filter(([, value]) => value !== '');
    const found: Record<string, string> = {};
    for (const { check, state, sentence } of await examine(Object.fromEntries(given), timeoutMs))
      found[check] = `${found[check] === undefined ? '' : `${found[check]}\n`}${state} ${sentence}`;
    expect(JSON.stringify(found)).not.toMatch(/canary|Bearer/);
    return found;
  }

  /** Without servers: the embedded store, and grants from a folder. */
  const laptop = (): Readonly<Record<string, string>> => {
    const cleared = Object.keys(env).map((name) => [name, '']);
    const dataDir = join(dir, 'data');
    mkdirSync(dataDir, { recursive: true });
    chmodSync(dataDir, 0o700);
    return {
      ...Object.fromEntries(cleared),
      NODE_ENV: 'production',
      USER_TOKEN_SECRET: SECRET,
      ACCESS_TOKEN_KEY: SECRET,
      MASTER_KEY: SECRET,
      GRANTS_DIR: dir,
      DATA_DIR: dataDir,
      DISK_RESERVE_MIB: '12',
    };
  };

  it('finds nothing where all is well, and says what it has seen', async () => {
    const found = await examined();
    expect(Object.values(found).join('\n')).not.toMatch(/^(fail|warn)/m);
    expect(found).toMatchObject({
      configuration: expect.stringMatching(/^ok All \d+ settings are valid; set are GRANTS_SOURCE, /),
      infisical: `ok ${new URL(infisical.url).host} answers; it speaks v3.`,
      'infisical-login': 'ok The machine identity logs in.',
      'infisical-organization': 'ok The organization is the one of the machine identity.',
      'infisical-projects': 'ok The machine identity may create projects, and no more than it needs.',
      cluster: 'ok The API server answers; it is Kubernetes v1.30.2+k3s1.',
      'cluster-rights': expect.stringMatching(/^ok The ServiceAccount has all \d+ rights/),
      lldap: 'ok LLDAP answers.',
      redis: expect.stringMatching(/^skip /),
      clock: expect.stringMatching(/^ok .*Infisical/),
      'key-files': 'ok 1 files of keys are closed to others.',
    });
  });

  it('tells what is in the place of LLDAP from LLDAP', async () => {
    const LLDAP_URL = await serverThat((_request, response) =>
      response.writeHead(302, { location: '/' }).end(),
    );
    expect((await examined({ LLDAP_URL }))['lldap']).toMatch(
      /^fail What LLDAP_URL leads to does not answer as LLDAP does \(status 302\)/,
    );
  });

  it('is a command that exits with 1 where something fails, and prints lines, or JSON for machines', () => {
    const folder = join(dir, 'data\u001b[2J');
    mkdirSync(folder, { mode: 0o700 });
    const run = (...args: readonly string[]) => {
      const options = {
        cwd: dir,
        env: { PATH: process.env['PATH'], ...laptop(), DATA_DIR: folder },
        encoding: 'utf8',
      } as const;
      return spawnSync(process.execPath, [MAIN, 'doctor', ...args], options);
    };
    const good = run();
    expect([good.status, good.stderr]).toEqual([0, '']);
    expect(good.stdout).toMatch(/^ok {4}configuration +All \d+ settings are valid; /);
    // Nothing for a terminal to obey.
    expect(good.stdout).toMatch(/data\ufffd\[2J are free/);
    env['GRANTS_DIR'] = '';
    const bad = spawnSync(process.execPath, [MAIN, 'doctor', '--json'], {
      cwd: dir,
      env: { PATH: process.env['PATH'], NODE_ENV: 'production' },
      encoding: 'utf8',
    });
    expect([bad.status, bad.stderr]).toEqual([1, '']);
    expect(JSON.parse(bad.stdout)).toContainEqual({
      check: 'configuration',
      state: 'fail',
      sentence: 'GRANTS_DIR must name the folder of installed apps.',
    });
    expect(run('--timeout', 'soon')).toMatchObject({ status: 2, stdout: '' });
  });

  it('names every setting that is wrong, and variables that seem to be meant for the service', async () => {
    const found = await examined({
      ...laptop(),
      MASTER_KEY: '',
      LOG_LEVEL: 'loud',
      GRANT_DIR: SECRET,
      INFISICAL_CLIENTSECRET: SECRET,
      INFISICAL_URL_FILE: '/x',
      QUOTA_EVERYTHING: '1',
      REDIS_PORT: 'tcp://10.0.0.1:6379',
      HOSTNAME: 'laptop',
      SSL_CERT_FILE: '/etc/ssl/cert.pem',
    });
    expect(found['configuration']?.split('\n')).toEqual([
      'fail LOG_LEVEL must be one of info, trace, debug, warn, error, silent.',
      'fail MASTER_KEY or MASTER_KEY_FILE must hold the master key of the embedded store (or set INFISICAL_URL).',
      'warn GRANT_DIR is no setting; did you mean GRANTS_DIR?',
      'warn INFISICAL_CLIENTSECRET is no setting; did you mean INFISICAL_CLIENT_SECRET?',
      'warn INFISICAL_URL_FILE has no effect: only secret settings may be files; set INFISICAL_URL.',
      'warn QUOTA_EVERYTHING is no setting, and has no effect.',
    ]);
    expect(found['infisical']).toBe('skip Not checked, since the configuration is not valid.');
  });

  it('changes nothing, and takes the credentials of a laptop where npm start has made all of them', async () => {
    const data = join(dir, 'laptop');
    mkdirSync(join(data, 'development'), { recursive: true, mode: 0o700 });
    const given = Object.keys(env).map((name) => [name, '']);
    const onLaptop = { ...Object.fromEntries(given), DATA_DIR: data };
    const before = await examined(onLaptop);
    expect(before['configuration']).toContain('fail USER_TOKEN_SECRET');
    expect(readdirSync(data, { recursive: true })).toEqual(['development']);
    withDevelopmentCredentials({ DATA_DIR: data });
    const files = readdirSync(data, { recursive: true });
    expect((await examined(onLaptop))['configuration']).toMatch(/^ok All /);
    expect(readdirSync(data, { recursive: true })).toEqual(files);
  });

  it('does not wait for ever for a pipe in the place of a key file', async () => {
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const { configuration } = await examined({ ...laptop(), MASTER_KEY: '', MASTER_KEY_FILE: pipe });
    expect(configuration).toBe('fail MASTER_KEY_FILE names something that is no regular file.');
  });

  it.each([
    ['refused credentials', { INFISICAL_CLIENT_SECRET: 'canary-of-another' }, 'infisical-login', /^fail Infisical refuses the client id or the client secret/], // prettier-ignore
    ['no server', { INFISICAL_URL: 'http://127.0.0.1:1' }, 'infisical', /^fail Infisical does not answer\. Do DNS, proxy and network policy lead to 127\.0\.0\.1:1/], // prettier-ignore
    ['another organization', { INFISICAL_ORGANIZATION_ID: '11111111-1111-1111-1111-111111111111' }, 'infisical-organization', /^fail INFISICAL_ORGANIZATION_ID is not the organization/], // prettier-ignore
    ['no organization', { INFISICAL_ORGANIZATION_ID: '' }, 'infisical-projects', /^skip .*infisical:setup -- --check/], // prettier-ignore
    ['no cluster', { KUBECONFIG: '/absent' }, 'cluster', /^fail KUBECONFIG names no file that is there\.$/],
    ['no LLDAP', { LLDAP_URL: 'http://127.0.0.1:65000' }, 'lldap', /^fail LLDAP does not answer \(ECONNREFUSED\)/], // prettier-ignore
    ['no Redis', { REDIS_URL: 'redis://:canary-password@127.0.0.1:1' }, 'redis', /^fail Redis cannot be used \(unreachable\)/], // prettier-ignore
    ['an audit file that cannot be written', { AUDIT: 'file', AUDIT_KEY: SECRET, AUDIT_FILE: '/dev/null/audit/trail.log' }, 'audit', /^fail AUDIT_FILE: \/dev\/null is no folder\. Every operation/], // prettier-ignore
    ['certificates unverified', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'node', /\nfail NODE_TLS_REJECT_UNAUTHORIZED is 0/], // prettier-ignore
  ])('says of %s what to do, and checks all the rest', async (_what, changes, check, sentence) => {
    const found = await examined(changes);
    expect(found[check]).toMatch(sentence);
    const others = Object.entries(found).filter(([name]) => !name.startsWith(check.split('-')[0] ?? ''));
    expect(others.filter(([, text]) => /^fail/m.test(text))).toEqual([]);
  });

  it('tells the role of the machine identity where it is another than the least', async () => {
    own.role = 'admin';
    expect((await examined())['infisical-projects']).toMatch(/^warn The identity may more than it needs/);
    own.role = 'no-access';
    expect((await examined())['infisical-projects']).toMatch(
      /^warn Infisical does not show the identity its own role/,
    );
    own.role = 'member';
  });

  it('tells which rights are missing, of those that docs/kubernetes.md lists', async () => {
    cluster.denied.add('watch namespaces').add('create tokenreviews');
    expect((await examined())['cluster-rights']).toBe(
      'fail The ServiceAccount may not watch namespaces, create tokenreviews.authentication.k8s.io: docs/kubernetes.md lists what it needs.',
    );
    const grants = grantSettings(
      new EnvironmentReader({
        GRANTS_SOURCE: 'kubernetes',
        GRANT_FEEDS: 'application-permissions,manifests',
        GRANT_APPROVALS_NAMESPACE: 'os-platform',
        PROVIDER_ENDPOINT: 'provider.os-platform:80',
        PROVIDER_REGISTRATION: 'both',
      }),
    );
    if (grants.kind === 'directory') throw new Error('no cluster');
    const page = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8');
    const section = page.slice(
      page.indexOf('## What our own ServiceAccount needs'),
      page.indexOf('## Watches that are'),
    );
    const listed = [...section.matchAll(/`([a-z]{4,})`/g)].map(([, word]) => word).filter((word) => word !== 'manifests'); // prettier-ignore
    const asked = neededRights(grants).flatMap((right) => ('url' in right ? [] : [right.resource]));
    expect([...new Set(asked)].sort()).toEqual([...new Set(listed)].sort());
    const urls = neededRights(grants).flatMap((right) => ('url' in right ? [`\`${right.url}\``] : []));
    expect([urls.length, urls.filter((url) => !section.includes(url))]).toEqual([5, []]);
  });

  it('says why the rights are not known where the API server fails at a review', async () => {
    const url = await serverThat((request, response) => {
      const isVersion = request.url === '/version';
      response.writeHead(isVersion ? 200 : 429, { 'content-type': 'application/json' });
      response.end(isVersion ? '{"gitVersion":"v1.30.2"}' : '{"reason":"TooManyRequests"}');
    });
    const found = await examined({ KUBECONFIG: kubeconfigOf({ url, token: 'canary' }, dir) });
    expect([found['cluster'], found['cluster-rights']]).toEqual([
      'ok The API server answers; it is Kubernetes v1.30.2.',
      'fail The API server does not say what the ServiceAccount may (429 TooManyRequests).',
    ]);
  });

  it('compares the clock with the servers that it reached: more than the window of access tokens is a failure', async () => {
    infisical.clockSkewMs = 60_000;
    expect((await examined())['clock']).toMatch(
      /^fail The clock here is (59|60|61) s behind that of Infisical: apps get no access tokens where theirs differs by more than 10 s/,
    );
    infisical.clockSkewMs = -7_000;
    expect((await examined())['clock']).toMatch(/^warn The clock here is \d s ahead of that of Infisical; /);
  });

  it('gives up a server that never answers, and tells of the others all the same', async () => {
    const silent = await serverThat(() => undefined);
    const found = await examined({ INFISICAL_URL: silent, LLDAP_URL: silent, KUBECONFIG: '/absent' }, 1_500);
    expect(found['infisical']).toMatch(/^fail /);
    expect(found['lldap']).toMatch(/^fail (LLDAP does not answer \(Timeout\)|The check did not end)/);
    expect(found['cluster']).toMatch(/^fail KUBECONFIG/);
    const never = { name: 'hangs', run: () => new Promise<never>(() => undefined) };
    const fine = { name: 'fine', run: () => [{ check: 'fine', state: 'ok', sentence: 'Good.' } as const] };
    expect(await runChecks([never, fine], 50)).toEqual([
      {
        check: 'hangs',
        state: 'fail',
        sentence: 'The check did not end within 0.05 s; --timeout gives it more.',
      },
      { check: 'fine', state: 'ok', sentence: 'Good.' },
    ]);
  });

  it('prints nothing of a foreign error, which may quote a secret', async () => {
    const broken = { name: 'broken', run: () => Promise.reject(new RangeError(`bad ${SECRET}`)) };
    expect(await runChecks([broken], 1_000)).toEqual([
      { check: 'broken', state: 'fail', sentence: 'The check itself failed (RangeError); please report it.' },
    ]);
    cluster.failing = { status: 500, reason: SECRET, details: SECRET };
    const { cluster: said } = await examined({
      LLDAP_URL: await serverThat((_request, response) => response.end(SECRET)),
    });
    cluster.failing = undefined;
    expect(said).toMatch(/^fail The API server cannot be used \(500 Refused\)/);
  });

  it('warns of certificates that end within 30 days, and fails where one has ended', async () => {
    const authority = new TestAuthority();
    const tls = (days: number): Readonly<Record<string, string>> => {
      const { key, cert } = authority.certificateFor('secrets.example', [-100, days]);
      writeFileSync(join(dir, 'tls.key'), key);
      writeFileSync(join(dir, 'tls.crt'), cert);
      writeFileSync(join(dir, 'ca.crt'), `${authority.cert}\n`);
      return {
        ...laptop(),
        TLS_CERT_FILE: join(dir, 'tls.crt'),
        TLS_KEY_FILE: join(dir, 'tls.key'),
        NODE_EXTRA_CA_CERTS: join(dir, 'ca.crt'),
      };
    };
    expect((await examined(tls(20.5)))['certificates']).toBe(
      'warn TLS_CERT_FILE ends in 20 days; renew it.\nok NODE_EXTRA_CA_CERTS is valid for 364 days.',
    );
    expect((await examined(tls(-1)))['certificates']).toMatch(
      /^fail TLS_CERT_FILE: a certificate of the chain has expired/,
    );
  });

  it('looks at the folder of the store, its disk, and the modes of key files', async () => {
    chmodSync(env['USER_TOKEN_SECRET_FILE'] ?? '', 0o604);
    expect((await examined())['key-files']).toMatch(
      /^warn USER_TOKEN_SECRET_FILE: every user of the machine may use /,
    );
    expect((await examined(laptop()))['disk']).toMatch(
      /^ok \d+ MiB of the disk of .* are free, and it can be written\.$/,
    );
    expect((await examined({ ...laptop(), DATA_DIR: '/dev/null/data' }))['disk']).toBe(
      'fail DATA_DIR: /dev/null is no folder.',
    );
    expect(spaceOf('/data', 11 * MIB, 64 * MIB, false).state).toBe('fail');
    expect(spaceOf('/data', 100 * MIB, 64 * MIB, false).state).toBe('warn');
    expect(spaceOf('/data', 200 * MIB, 64 * MIB, true).sentence).toMatch(/may look into \/data/);
  });

  it('advises no change of a folder that is another user’s, as the root of a claim is', async () => {
    const claim = laptop();
    chmodSync(claim['DATA_DIR'] ?? '', 0o2777);
    const [user, getuid] = [process.getuid?.() ?? 0, jest.spyOn(process, 'getuid')];
    try {
      expect((await examined(claim))['disk']).toMatch(/^warn Every user/);
      getuid.mockReturnValue(user + 1);
      expect((await examined(claim))['disk']).toMatch(/^ok .* and it can be written\.$/);
    } finally {
      getuid.mockRestore();
    }
  });

  it('tells whether the service of a container runs with the hardening flags of its image', () => {
    expect(HARDENING).toEqual(expect.arrayContaining([...HARDENING_FLAGS]));
    const flags = (words: readonly string[]) => {
      mkdirSync(join(dir, 'proc/1'), { recursive: true });
      writeFileSync(join(dir, 'proc/1/cmdline'), `${words.join('\0')}\0`);
      return checkNode({}, join(dir, 'proc')).at(-1);
    };
    expect(flags(['node', ...HARDENING, 'dist/main.js'])?.state).toBe('ok');
    expect(flags(['node', HARDENING[0] ?? '', 'dist/main.js'])?.sentence).toContain(
      'without --disable-proto=delete, ',
    );
    expect(flags(['sh'])?.state).toBe('skip');
  });

  describeWith('redis-server', 'with Redis', () => {
    let redis: RedisServer;
    beforeAll(async () => (redis = await RedisServer.start({ password: 'canary-password' })));
    afterAll(async () => redis.remove());

    it('connects as the service does, and says what is wrong', async () => {
      expect((await examined({ REDIS_URL: redis.url }))['redis']).toBe(
        'ok Redis answers, and lets us publish and subscribe.',
      );
      const wrong = redis.url.replace('canary-password', 'canary-of-another');
      expect((await examined({ REDIS_URL: wrong }))['redis']).toMatch(
        /^fail Redis cannot be used \(credentialsRefused\): it refuses user or password: correct REDIS_URL\./,
      );
    });
  });
});
