import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { withAdministration, type FakeAdministration } from '../support/fake-infisical/fake-administration';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';

const ROOT = resolve(__dirname, '../..');
const PASSWORD = 'canary-password';
const ALL_WELL = 'The identity can do all that the service needs, and is no admin.';

describe.each(['fork', 'v3', 'v4'] as const)('infisical:setup (%s)', (apiVersion) => {
  const dir = mkdtempSync(join(tmpdir(), 'infisical-setup-'));
  const manifest = join(dir, 'secret.yaml');
  let fake: FakeInfisical;
  let admin: FakeAdministration;
  /** All that any run of a test printed. */
  let printed: string;

  /** The built command, as an operator runs it. */
  async function setup(
    args: readonly string[],
    env: Record<string, string> = {},
    address: readonly string[] = ['--url', fake.url],
  ) {
    const child = spawn(process.execPath, [join(ROOT, 'dist/cli/infisical-setup.js'), ...address, ...args], {
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
  const asAdmin = (args: readonly string[], env: Record<string, string> = {}) =>
    setup(['--organization-id', fake.world.organizationId, ...args], {
      INFISICAL_ADMIN_TOKEN: admin.adminToken,
      ...env,
    });
  const madeIdentity = (name = 'olares-secret-provider') =>
    admin.members.find((member) => member.name === name)!;
  const credentials = () => {
    const { clientId, clientSecret } = madeIdentity().identity;
    return { INFISICAL_CLIENT_ID: clientId, INFISICAL_CLIENT_SECRET: clientSecret };
  };

  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion });
    admin = withAdministration(fake, apiVersion);
    printed = '';
  });
  afterEach(async () => {
    await fake.close();
    rmSync(manifest, { force: true });
    expect(
      ['fake-token-', 'canary-client-secret', PASSWORD].filter((canary) => printed.includes(canary)),
    ).toEqual([]);
    // The probe project is gone, whatever the test did.
    expect(fake.world.projects).toEqual([]);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it('makes a member that can log in, writes its Secret for the owner only, and checks it', async () => {
    writeFileSync(manifest, 'an older one', { mode: 0o644 });
    const { code, out, err } = await asAdmin(['--secret-manifest', manifest]);
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
    expect((await asAdmin(['--new-secret', '--secret-manifest', manifest])).code).toBe(0);
    expect(madeIdentity().secrets).toHaveLength(2);
    for (const secret of madeIdentity().secrets) secret.revoked = true;
    expect((await asAdmin(['--secret-manifest', manifest])).code).toBe(0);
    expect(madeIdentity().secrets).toHaveLength(3);
  });

  it('takes the address from INFISICAL_URL, and /api at its end: every such command of the runbook ends well', async () => {
    await asAdmin(['--secret-manifest', manifest]);
    const page = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
    const commands = [...page.matchAll(/`npm run infisical:setup -- ([^`]+)`/g)].map(([, args = '']) => args);
    expect(commands.length).toBeGreaterThanOrEqual(2);
    for (const command of commands) {
      const args = command.replace('secret.yaml', manifest).split(' ');
      const more = apiVersion === 'fork' && !args.includes('--check');
      const { code, err } = await setup(
        more ? [...args, '--organization-id', fake.world.organizationId] : args,
        { ...credentials(), INFISICAL_ADMIN_TOKEN: admin.adminToken, INFISICAL_URL: `${fake.url}/api` },
        [],
      );
      expect([command, code, err]).toEqual([command, 0, '']);
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
      expect([
        code,
        out.includes(`kubernetesAuth:\n    identityId: "${madeIdentity().identity.id}"\n    audience: "a"\n`),
      ]).toEqual([0, true]);
    }
    expect(madeIdentity().kubernetes).toMatchObject({
      kubernetesHost: 'https://kubernetes.default.svc',
      allowedNamespaces: 'two',
      allowedNames: 'olares-secret-provider',
      allowedAudience: 'a',
    });
    expect(madeIdentity().universalAuth).toBe(false);
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
    const second = await run();
    expect([second.code, second.err.includes('This server cannot be bootstrapped')]).toEqual([1, true]);
  });

  it('says that a token may too little, and does not show it', async () => {
    const { code, out, err } = await asAdmin(['--print-secret'], {
      INFISICAL_ADMIN_TOKEN: fake.issueToken(),
    });
    const status = apiVersion === 'fork' ? 401 : 403;
    const sentence = `The machine identity could not be created (POST /api/v1/identities answers ${status}).`;
    expect([code, out, err]).toEqual([1, '', `infisical:setup: ${sentence}\n`]);
  });

  it('refuses what it does not know, without repeating it, and says what is missing', async () => {
    const wrong = await setup(['--admin-token', 'fake-token-in-the-wrong-place']);
    expect([wrong.code, wrong.err.startsWith('infisical:setup: An argument is unknown')]).toEqual([2, true]);
    const missing = await setup(['--print-secret']);
    expect(missing).toMatchObject({ code: 2, out: '' });
    expect(missing.err).toContain('INFISICAL_ADMIN_TOKEN or INFISICAL_ADMIN_TOKEN_FILE');
    const nowhere = await asAdmin(['--secret-manifest', join(dir, 'no-such-folder/secret.yaml')]);
    expect([nowhere.code, madeIdentity().secrets]).toEqual([1, []]);
  });
});
