import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { infisicalSetup } from '../../src/cli/infisical-setup';
import { parseSetupArguments, type SetupArguments } from '../../src/stores/infisical/setup/setup-arguments';
import { withAdministration, type FakeAdministration } from '../support/fake-infisical/fake-administration';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';

const ROOT = resolve(__dirname, '../..');
const PASSWORD = 'canary-password';
const BOOTSTRAP = {
  INFISICAL_ADMIN_EMAIL: 'nobody@example.org',
  INFISICAL_ADMIN_PASSWORD: PASSWORD,
  INFISICAL_ADMIN_ORGANIZATION: 'o',
};
const ALL_WELL = 'The identity can do all that the service needs, and is no admin.';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

it('writes the Secret by the name that the pages have, into the namespace of the release', () => {
  const parsed = parseSetupArguments([
    '--url',
    'https://infisical.example',
    '--secret-manifest',
    'secret.yaml',
  ]);
  const { secretName } = parsed as SetupArguments;
  const [chart, page] = ['helm/README.md', 'docs/infisical.md'].map((file) =>
    readFileSync(join(ROOT, file), 'utf8'),
  );
  const named = [...chart!.matchAll(/infisical\.existingSecret=(\S+)/g)].map(([, name]) => name);
  expect(named).toEqual([secretName, secretName]);
  expect(page).toContain(`\`${secretName}\``);
  const [, namespace] = /kubectl apply -n (\S+) -f secret\.yaml/.exec(page!) ?? [];
  expect(chart).toContain(`helm install secret-provider helm -n ${namespace} -f helm/values/olares.yaml`);
});

describe.each(['fork', 'v3', 'v4'] as const)('infisical:setup (%s)', (apiVersion) => {
  const dir = mkdtempSync(join(tmpdir(), 'infisical-setup-'));
  const manifest = join(dir, 'secret.yaml');
  let fake: FakeInfisical;
  let admin: FakeAdministration;
  /** All that any run of a test printed. */
  let printed: string;

  /** The command, in this process: what it is given, prints and returns is all that it has of a process of its own. */
  async function setup(
    args: readonly string[],
    env: Record<string, string> = {},
    address: readonly string[] = ['--url', fake.url],
  ): Promise<Ended> {
    const streams = { out: '', err: '' };
    const code = await infisicalSetup({
      args: [...address, ...args],
      env,
      stdout: { write: (text) => void (streams.out += text) },
      stderr: { write: (text) => void (streams.err += text) },
    });
    printed += streams.out + streams.err;
    return { code, ...streams };
  }
  /** The built command, as an operator runs it. */
  async function setupProcess(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    const command = [join(ROOT, 'dist/cli/infisical-setup.js'), '--url', fake.url, ...args];
    const child = spawn(process.execPath, command, {
      cwd: dir,
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const streams = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (streams.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (streams.err += chunk.toString()));
    const code = await new Promise<number | null>((ended) => child.once('close', ended));
    printed += streams.out + streams.err;
    return { code, ...streams };
  }
  const asAdmin = (args: readonly string[], env: Record<string, string> = {}, run = setup) =>
    run(['--organization-id', fake.world.organizationId, ...args], {
      INFISICAL_ADMIN_TOKEN: admin.adminToken,
      ...env,
    });
  const madeIdentity = (name = 'olares-secret-provider') =>
    admin.members.find((member) => member.name === name)!;
  const fakeAdmin = () => {
    const { identity } = admin.members.find(({ name }) => name === 'the admin')!;
    return { ...identity, token: admin.adminToken };
  };
  const credentials = () => {
    const { clientId, clientSecret } = madeIdentity().identity;
    return { INFISICAL_CLIENT_ID: clientId, INFISICAL_CLIENT_SECRET: clientSecret };
  };

  beforeAll(() => process.chdir(dir));
  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion });
    admin = withAdministration(fake, apiVersion);
    printed = '';
  });
  afterEach(async () => {
    await fake.close();
    for (const file of readdirSync(dir)) rmSync(join(dir, file));
    expect(
      ['fake-token-', 'canary-client-secret', PASSWORD].filter((canary) => printed.includes(canary)),
    ).toEqual([]);
    // The probe project is gone, whatever the test did.
    expect(fake.world.projects).toEqual([]);
  });
  afterAll(() => {
    process.chdir(ROOT);
    rmSync(dir, { recursive: true });
  });

  it('makes a member that can log in, writes its Secret for the owner only, and checks it', async () => {
    writeFileSync(manifest, 'an older one', { mode: 0o644 });
    const { code, out, err } = await asAdmin(['--secret-manifest', manifest, '--force'], {}, setupProcess);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(ALL_WELL);
    expect(parse(out.slice(out.indexOf('infisical:'), out.indexOf('Checked')))).toEqual({
      infisical: {
        url: fake.url,
        organizationId: fake.world.organizationId,
        existingSecret: 'olares-secret-provider-infisical',
      },
    });
    const { identity, role } = madeIdentity();
    expect(role).toBe('member');
    expect(statSync(manifest).mode & 0o777).toBe(0o600);
    expect(parse(readFileSync(manifest, 'utf8'))).toMatchObject({
      kind: 'Secret',
      metadata: { name: 'olares-secret-provider-infisical' },
      stringData: { 'client-id': identity.clientId, 'client-secret': identity.clientSecret },
    });
  });

  it('finds on a second run what the first one made, and makes another secret only when told', async () => {
    await asAdmin(['--secret-manifest', manifest]);
    const again = await asAdmin([], credentials());
    expect([again.code, again.out.includes(ALL_WELL)]).toEqual([0, true]);
    const unknowing = await asAdmin([]);
    expect([unknowing.code, unknowing.out.includes('Not checked')]).toEqual([0, true]);
    expect(admin.members.filter(({ name }) => name === 'olares-secret-provider')).toHaveLength(1);
    expect(madeIdentity().secrets).toHaveLength(1);
    expect((await asAdmin(['--new-secret', '--secret-manifest', manifest, '--force'])).code).toBe(0);
    expect(madeIdentity().secrets).toHaveLength(2);
    for (const secret of madeIdentity().secrets) secret.revoked = true;
    expect((await asAdmin(['--secret-manifest', manifest, '--force'])).code).toBe(0);
    expect(madeIdentity().secrets).toHaveLength(3);
  });

  it('takes the address from INFISICAL_URL, and /api at its end: every such command of the documents ends well', async () => {
    await asAdmin(['--secret-manifest', manifest]);
    const pages = ['runbook', 'infisical'].map((page) => readFileSync(join(ROOT, `docs/${page}.md`), 'utf8'));
    const commands = pages.flatMap((page) =>
      [...page.matchAll(/((?:[A-Z_]+=\S+ )*)npm run infisical:setup -- ([^`\n]+)/g)].map(
        ([, set = '', args = '']) => ({ set, args }),
      ),
    );
    expect(commands.length).toBeGreaterThanOrEqual(5);
    const admin = fakeAdmin();
    const admins = { INFISICAL_ADMIN_TOKEN: admin.token };
    const files = {
      'admin-token': admin.token,
      'admin-client-secret': admin.clientSecret,
      'admin-password': PASSWORD,
    };
    for (const { set, args } of commands) {
      for (const file of readdirSync(dir)) rmSync(join(dir, file));
      for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text);
      // As it stands there, but for the address, the ids, and the folder of its files.
      const settings = Object.fromEntries(
        set
          .split(' ')
          .filter((pair) => pair !== '')
          .map((pair) => pair.split('=') as [string, string]),
      );
      if ('INFISICAL_ADMIN_CLIENT_ID' in settings) settings['INFISICAL_ADMIN_CLIENT_ID'] = admin.clientId;
      const given = args
        .replace('https://infisical.example', `${fake.url}/api`)
        .replace('…', fake.world.organizationId)
        .split(' ');
      const isBootstrap = given.includes('--bootstrap');
      if (isBootstrap && apiVersion !== 'v4') continue;
      const more =
        apiVersion === 'fork' && !given.includes('--check') && !given.includes('--organization-id');
      const { code, err } = await setup(
        more ? [...given, '--organization-id', fake.world.organizationId] : given,
        {
          ...credentials(),
          ...(set.includes('ADMIN') ? settings : admins),
          INFISICAL_URL: `${fake.url}/api`,
        },
        [],
      );
      expect([args, code, err]).toEqual([args, 0, '']);
    }
  });

  it('shows the client secret on --print-secret only', async () => {
    const { code, out } = await asAdmin(['--print-secret']);
    expect(code).toBe(0);
    expect(out).toContain(`INFISICAL_CLIENT_SECRET=${madeIdentity().identity.clientSecret}\n`);
    printed = '';
  });

  it.each([
    ['no-access', 'It may not create projects: give it the organization role member.'],
    ['admin', 'It may more than it needs: give it the organization role member in place of the one it has.'],
  ])('--check says in plain words what is wrong with an identity of the role %s', async (role, words) => {
    await asAdmin(['--secret-manifest', manifest]);
    const member = madeIdentity();
    member.role = role;
    Object.assign(member.identity, { mayCreateProjects: role !== 'no-access' });
    const { code, out } = await setup(['--check'], credentials());
    expect(code).toBe(1);
    expect(out).toContain(`Missing or wrong: ${words}\n`);
    expect(out).not.toContain(ALL_WELL);
  });

  it('--check says so when the credentials are refused, and needs no admin', async () => {
    await asAdmin(['--secret-manifest', manifest]);
    expect((await setup(['--check'], credentials())).code).toBe(0);
    const wrong = await setup(['--check'], {
      ...credentials(),
      INFISICAL_CLIENT_SECRET: 'canary-client-secret-x',
    });
    expect([wrong.code, wrong.out]).toEqual([1, '']);
    expect(wrong.err).toContain(
      'The identity cannot log in. Infisical refuses the client id or the client secret',
    );
  });

  it('--kubernetes sets who may log in, and a second run sets it anew', async () => {
    const jwt = { KUBERNETES_TOKEN_REVIEWER_JWT: 'canary-client-secret-jwt' };
    for (const namespace of ['one', 'two']) {
      const { code, out } = await asAdmin(['--kubernetes', '--namespace', namespace, '--audience', 'a'], jwt);
      expect(code).toBe(0);
      // The chart calls its ServiceAccount like the release, if nothing else is said.
      expect(parse(out.slice(out.indexOf('infisical:'), out.indexOf('Not checked')))).toMatchObject({
        infisical: { kubernetesAuth: { identityId: madeIdentity().identity.id, audience: 'a' } },
        serviceAccount: { name: 'olares-secret-provider' },
      });
    }
    expect(madeIdentity().kubernetes).toMatchObject({
      kubernetesHost: 'https://kubernetes.default.svc',
      allowedNamespaces: 'two',
      allowedNames: 'olares-secret-provider',
      allowedAudience: 'a',
    });
    expect(madeIdentity().universalAuth).toBe(false);
  });

  it('--service-account names another one that may log in, for the chart too', async () => {
    const jwt = { KUBERNETES_TOKEN_REVIEWER_JWT: 'canary-client-secret-jwt' };
    const args = ['--kubernetes', '--namespace', 'one', '--service-account', 'vault'];
    const { out } = await asAdmin(args, jwt);
    expect(out).toContain('\nserviceAccount:\n  name: "vault"\n');
    expect(madeIdentity().kubernetes).toMatchObject({ allowedNames: 'vault' });
  });

  it('--bootstrap makes it all on a fresh server of v4, once', async () => {
    const env = {
      INFISICAL_ADMIN_EMAIL: 'a@b.co',
      INFISICAL_ADMIN_PASSWORD: PASSWORD,
      INFISICAL_ADMIN_ORGANIZATION: 'o',
    };
    expect(await setup(['--bootstrap'], env)).toMatchObject({ code: 2 });
    expect(fake.calls).toEqual([]);
    const run = () => setup(['--bootstrap', '--secret-manifest', manifest], env);
    const first = await run();
    expect([first.code, first.out.includes(ALL_WELL)]).toEqual(apiVersion === 'v4' ? [0, true] : [1, false]);
    const second = await setup(['--bootstrap', '--secret-manifest', manifest, '--force'], env);
    expect([second.code, second.err.includes('This server cannot be bootstrapped')]).toEqual([1, true]);
  });

  it('says that a token may too little, and does not show it', async () => {
    const { code, out, err } = await asAdmin(['--print-secret'], {
      // An id of zeros: four letters of a random one may be those of a word of the sentence, which then is left out.
      INFISICAL_ADMIN_TOKEN: fake.issueToken({ ...fake.identity, id: '0'.repeat(36) }),
    });
    const status = apiVersion === 'fork' ? 401 : 403;
    const said = 'You are not allowed to create on identity';
    const sentence = `The machine identity could not be created: Infisical says "${said}" (POST /api/v1/identities answers ${status}).`;
    expect([code, out, err]).toEqual([1, '', `infisical:setup: ${sentence}\n`]);
  });

  it('refuses what it does not know, without repeating it, and says what is missing', async () => {
    const wrong = await setupProcess(['--admin-token', 'fake-token-in-the-wrong-place']);
    expect([wrong.code, wrong.err.startsWith('infisical:setup: An argument is unknown')]).toEqual([2, true]);
    const missing = await setup(['--print-secret']);
    expect(missing).toMatchObject({ code: 2, out: '' });
    expect(missing.err).toContain('INFISICAL_ADMIN_TOKEN or INFISICAL_ADMIN_TOKEN_FILE');
    const nowhere = await asAdmin(['--secret-manifest', join(dir, 'no-such-folder/secret.yaml')]);
    expect([nowhere.code, madeIdentity()]).toEqual([1, undefined]);
  });

  it('keeps the token of a bootstrap that cannot go on, and ends with 3 and what to do, which works', async () => {
    if (apiVersion !== 'v4') return;
    admin.refusesBootstrapToken = true;
    const first = await setup(['--bootstrap', '--secret-manifest', manifest], BOOTSTRAP);
    expect(first.code).toBe(3);
    // The words that the token shares with it are left out.
    expect(first.err).toContain('could not be listed: Infisical says "The provided access … is malformed.');
    expect(first.err).toContain(`its admin token is kept in ${manifest}.admin-token.`);
    expect(first.err).toContain(`--organization-id ${fake.world.organizationId}`);
    expect(readFileSync(`${manifest}.admin-token`, 'utf8')).toBe(admin.bootstrapToken);
    expect(statSync(`${manifest}.admin-token`).mode & 0o777).toBe(0o600);
    expect(existsSync(manifest)).toBe(false);
    // A second try must not cost the token that was kept.
    expect((await setup(['--bootstrap', '--secret-manifest', manifest], BOOTSTRAP)).code).toBe(2);
    expect((await setup(['--bootstrap', '--secret-manifest', manifest, '--force'], BOOTSTRAP)).code).toBe(1);
    expect(readFileSync(`${manifest}.admin-token`, 'utf8')).toBe(admin.bootstrapToken);
    const { clientId, clientSecret } = fakeAdmin();
    const { code, out } = await setup(
      ['--organization-id', fake.world.organizationId, '--secret-manifest', manifest],
      { INFISICAL_ADMIN_CLIENT_ID: clientId, INFISICAL_ADMIN_CLIENT_SECRET: clientSecret },
    );
    expect([code, out.includes(ALL_WELL)]).toEqual([0, true]);
  });

  it('prints the token of a bootstrap on --print-secret, and leaves none behind that went well', async () => {
    if (apiVersion !== 'v4') return;
    const named = join(dir, 'token');
    const { code, out } = await setup(
      ['--bootstrap', '--print-secret', '--admin-token-file', named],
      BOOTSTRAP,
    );
    expect([code, out.includes(`INFISICAL_ADMIN_TOKEN=${admin.bootstrapToken}\n`)]).toEqual([0, true]);
    expect(readFileSync(named, 'utf8')).toBe(admin.bootstrapToken);
    printed = '';
    admin.bootstrapped = false;
    const again = await setup(['--bootstrap', '--new-secret', '--secret-manifest', manifest], BOOTSTRAP);
    expect([again.code, readdirSync(dir).sort()]).toEqual([0, ['secret.yaml', 'token']]);
  });

  it('asks before a bootstrap where its token goes', async () => {
    const { code, err } = await setup(['--bootstrap', '--kubernetes', '--namespace', 'n'], BOOTSTRAP);
    expect([code, err.includes('--admin-token-file FILE or --print-secret'), fake.calls]).toEqual([
      2,
      true,
      [],
    ]);
  });

  it("shows the server's own reason for a token that it refuses, not a missing right", async () => {
    const garbage = { INFISICAL_ADMIN_TOKEN: 'fake-token-garbage.of.nobody' };
    const { code, err } = await asAdmin(['--secret-manifest', manifest], garbage);
    expect([code, err]).toEqual([1, expect.stringContaining('malformed')]);
    expect(err).not.toContain('may not');
    const unnamed = await setup(['--secret-manifest', manifest], garbage);
    expect([unnamed.code, unnamed.err]).toEqual([1, expect.stringContaining('malformed')]);
  });

  it("shows the server's own reason for a bad email, and for a host of Kubernetes that it cannot resolve", async () => {
    const host = ['--kubernetes', '--namespace', 'n', '--kubernetes-host', 'https://kubernetes.invalid'];
    const jwt = { KUBERNETES_TOKEN_REVIEWER_JWT: 'canary-client-secret-jwt' };
    const unresolved = await asAdmin(host, jwt);
    expect(unresolved).toMatchObject({ code: 1 });
    expect(unresolved.err).toContain('Infisical says "getaddrinfo ENOTFOUND kubernetes.invalid"');
    expect(unresolved.err).not.toContain('KUBERNETES_TOKEN_REVIEWER_JWT');
    const without = await asAdmin(['--kubernetes', '--namespace', 'n']);
    expect([without.code, without.err.includes('needs KUBERNETES_TOKEN_REVIEWER_JWT')]).toEqual(apiVersion === 'v4' ? [0, false] : [1, true]); // prettier-ignore
    const email = { ...BOOTSTRAP, INFISICAL_ADMIN_EMAIL: 'nobody' };
    const bad = await setup(['--bootstrap', '--print-secret'], email);
    const reason = apiVersion === 'v4' ? 'Infisical says "email: Invalid email"' : 'it is older than 2025-03';
    expect([bad.code, bad.err.includes(reason)]).toEqual([1, true]);
  });

  it('leaves out of the reason what was sent in secret, whole or in part, and what could be a key', async () => {
    const said = `Password ${PASSWORD} is weak; canary was seen, 0Z9y-fake-token-8X, for nobody@example.org`;
    const body = { statusCode: 400, error: 'BadRequest', message: said };
    fake.fail({ method: 'POST', ...(apiVersion === 'v4' && { template: '/api/v1/admin/bootstrap' }), fault: { kind: 'answer', status: 400, body } }); // prettier-ignore
    const { code, err } = await setup(['--bootstrap', '--print-secret'], BOOTSTRAP);
    expect(code).toBe(1);
    expect(err).toContain('Infisical says "… … is weak; … was seen, … for nobody@example.org"');
  });

  it('takes each address that the service takes, and prints it as the service writes it', async () => {
    const address = ['--url', `${fake.url.replace('http:', 'HTTP:')}//`];
    const { code, out } = await asAdmin(['--print-secret'], {}, (args, env) => setup(args, env, address));
    printed = '';
    expect(code).toBe(0);
    expect(out).toContain(`url: ${JSON.stringify(fake.url)}\n`);
    const bad = await setup(['--print-secret'], {}, ['--url', 'http://[::1']);
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('must be the http or https address')]);
  });

  it('makes nothing where it could not tell the client secret, or keep it', async () => {
    const before = admin.members.length;
    for (const args of [
      [],
      ['--secret-manifest', join(dir, 'no-such-folder/secret.yaml')],
      ['--kubernetes', '--namespace', 'n', '--kubernetes-ca-file', join(dir, 'absent')],
      ['--kubernetes', '--namespace', 'n', '--kubernetes-host', 'kubernetes'],
      ['--kubernetes', '--namespace', 'n', '--new-secret', '--print-secret'],
      ['--print-secret', '--secret-name', 'Not A Name'],
      ['--print-secret', '--admin-token-file', manifest],
      ['--check', '--print-secret'],
    ]) {
      const { code, err } = await asAdmin(args);
      expect([args, code === 0, err.startsWith('infisical:setup: ')]).toEqual([args, false, true]);
      // Only to know whether a secret is to be made, the server has to be asked.
      if (args.length > 0) expect(fake.calls).toEqual([]);
      fake.calls.splice(0);
    }
    expect([admin.members.length, readdirSync(dir)]).toEqual([before, []]);
  });

  it('does not replace a file unless told, and says so before the first call', async () => {
    writeFileSync(manifest, 'of somebody else');
    const { code, err } = await asAdmin(['--secret-manifest', manifest]);
    expect([code, err]).toEqual([2, expect.stringContaining('is there already: --force replaces it')]);
    expect([fake.calls, readFileSync(manifest, 'utf8')]).toEqual([[], 'of somebody else']);
    expect((await asAdmin(['--secret-manifest', manifest, '--force'])).code).toBe(0);
    expect(parse(readFileSync(manifest, 'utf8'))).toMatchObject({ kind: 'Secret' });
  });

  it("logs in with an admin identity's id and secret, and shows why it may not", async () => {
    const { clientId, clientSecret } = fakeAdmin();
    const as = (secret: string) =>
      setup(['--organization-id', fake.world.organizationId, '--print-secret'], {
        INFISICAL_ADMIN_CLIENT_ID: clientId,
        INFISICAL_ADMIN_CLIENT_SECRET: secret,
      });
    const wrong = await as('canary-client-secret-x');
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('The admin identity could not log in: Infisical says "Invalid credentials"')]); // prettier-ignore
    expect(await as(clientSecret)).toMatchObject({ code: 0, err: '' });
    printed = '';
  });

  it('--check finds an INFISICAL_ORGANIZATION_ID that is not the one of the identity, and makes no project', async () => {
    await asAdmin(['--secret-manifest', manifest]);
    const check = (organization: string) =>
      setup(['--check'], { ...credentials(), INFISICAL_ORGANIZATION_ID: organization });
    expect(await check(fake.world.organizationId)).toMatchObject({ code: 0 });
    fake.calls.splice(0);
    const { code, err } = await check('334e1428-3927-4c1d-b618-16bced09bd25');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^infisical:setup: INFISICAL_ORGANIZATION_ID is not/),
    ]);
    expect(fake.calls.filter(({ method, template }) => method === 'POST' && !template?.endsWith('/login'))).toEqual([]); // prettier-ignore
  });

  it('--help says where the organization id is, how an admin token is come by, and what the exit codes mean', async () => {
    const { code, out, err } = await setup(['--help'], {}, []);
    expect([code, err, fake.calls]).toEqual([0, '', []]);
    for (const part of ['/org/<id>/overview', 'INFISICAL_ADMIN_CLIENT_SECRET', 'Exit codes: 0 all is well'])
      expect(out).toContain(part);
  });
});
