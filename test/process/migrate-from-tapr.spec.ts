import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { MigrationReport } from '../../src/migration/migration-command';
import { EmbeddedSecretStore } from '../../src/stores/embedded/embedded.secret-store';
import { ENVIRONMENTS, UNATTENDED } from '../../src/secrets/secret';
import { eventually } from '../support/eventually';
import { FakePredecessor, type FakePerson } from '../support/fake-predecessor';

const COMMAND = resolve(__dirname, '../../dist/cli/migrate-from-tapr.js');
const MASTER_KEY = 'm'.repeat(32);
const VALUE = 'canary-value';
/** MIGRATION_FULL=true: 50 users with ten workspaces of three environments of 20 secrets, which takes minutes. */
const FULL = process.env['MIGRATION_FULL'] === 'true';
const [USERS, WORKSPACES, SECRETS] = FULL ? [50, 10, 20] : [6, 3, 5];

let dir: string;
let predecessor: FakePredecessor;
let people: Map<string, FakePerson>;
/** What must be in the store at the end, as JSON of user, workspace, environment and name → value. */
let wanted: Map<string, string>;
const deleted = new Set<string>();
const printed: string[] = [];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'migrate-'));
  predecessor = await FakePredecessor.start();
  people = new Map();
  wanted = new Map();
  printed.length = 0;
});
afterEach(async () => {
  await predecessor.fake.close();
  rmSync(dir, { recursive: true });
});

/** Makes a predecessor of many users, with all that went wrong in it. */
function fill(): void {
  const users = Array.from({ length: USERS }, (_, n) => ['b-c', 'c', 'gone'][n] ?? `user${n}`);
  for (const user of users) {
    const person = predecessor.addPerson(`${user}@example.org`);
    people.set(user, person);
    for (let n = 0; n < WORKSPACES; n++) {
      const workspace = n === 0 ? ({ 'b-c': 'a', c: 'a-b' }[user] ?? 'notes') : `ws${n}`;
      const project = predecessor.addProject(`${workspace}-${user}`, person);
      for (const environment of ['dev', 'staging', 'prod'])
        for (let secret = 0; secret < SECRETS; secret++) {
          const name = secret % 3 === 0 ? `integration-account:space:n${secret}` : `name ${secret}`;
          const value = `${VALUE} ${user} ${workspace} ${environment} ${secret} \${x}\r\n`;
          predecessor.addSecret(project, environment, name, `${VALUE} of an older row`, 1);
          predecessor.addSecret(project, environment, name, value, 2);
          if (user !== 'gone') wanted.set(JSON.stringify([user, workspace, environment, name]), value);
        }
    }
  }
  deleted.clear();
  deleted.add('gone');
}

function writeLists(): void {
  writeFileSync(join(dir, 'projects.json'), JSON.stringify(predecessor.inventory()));
  const items = [...people]
    .filter(([user]) => !deleted.has(user))
    .map(([user, { email }]) => ({ metadata: { name: user }, spec: { email } }));
  writeFileSync(join(dir, 'users.json'), JSON.stringify({ items }));
  writeFileSync(join(dir, 'jwt'), predecessor.jwtSecret);
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  readonly out: () => string;
}

function start(...args: readonly string[]): Started {
  return startBy(process.execPath, COMMAND, ...args);
}

function startBy(program: string, ...args: readonly string[]): Started {
  const { clientId, clientSecret } = predecessor.fake.identity;
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOST: '127.0.0.1',
    GRANTS_DIR: dir,
    USER_TOKEN_SECRET: 'u'.repeat(32),
    ACCESS_TOKEN_KEY: 'a'.repeat(32),
    DATA_DIR: join(dir, 'data'),
    MASTER_KEY,
    TAPR_INFISICAL_URL: predecessor.fake.url,
    TAPR_INFISICAL_CLIENT_ID: clientId,
    TAPR_INFISICAL_CLIENT_SECRET: clientSecret,
    TAPR_JWT_AUTH_SECRET_FILE: join(dir, 'jwt'),
  };
  const child = spawn(program, args, {
    env,
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk.toString()));
  const ended = new Promise<number | null>((resolveEnded) =>
    child.once('close', (code) => {
      printed.push(out);
      resolveEnded(code);
    }),
  );
  return { child, ended, out: () => out };
}

const LISTS = ['--projects', 'projects.json', '--users-file', 'users.json'];

async function run(...args: readonly string[]): Promise<{ code: number | null; report: MigrationReport }> {
  const { ended, out } = start(...args);
  const code = await ended;
  return { code, report: JSON.parse(out() || '{}') as MigrationReport };
}

async function stored(): Promise<Map<string, string>> {
  const store = await EmbeddedSecretStore.open({
    dataDir: join(dir, 'data'),
    masterKey: Buffer.from(MASTER_KEY),
    maxDiskReserveBytes: 0,
  });
  const found = new Map<string, string>();
  const places = new Set(
    [...wanted.keys()].map((key) => JSON.stringify((JSON.parse(key) as string[]).slice(0, 2))),
  );
  for (const place of [...places, '["gone","notes"]', '["a-b","c"]', '["c","a"]', '["b-c","a-b"]']) {
    const [user, workspace] = JSON.parse(place) as [string, string];
    for (const environment of ENVIRONMENTS)
      for (const { name, value } of (await store.list({ user, workspace, environment }, UNATTENDED)).secrets)
        found.set(JSON.stringify([user, workspace, environment, name]), value);
  }
  await store.close();
  return found;
}

function expectNothingSecretPrinted(): void {
  const all = printed.join('');
  for (const secret of [VALUE, predecessor.jwtSecret, predecessor.fake.identity.clientSecret, MASTER_KEY])
    expect(all).not.toContain(secret);
}

describe('node dist/cli/migrate-from-tapr.js', () => {
  it(
    'loses and doubles nothing where it is killed again and again, and leaves no role behind',
    async () => {
      fill();
      writeLists();
      const before = predecessor.roles();
      const projects = (USERS - 1) * WORKSPACES;
      for (const share of [0.1, 0.3, 0.6]) {
        const { child, ended } = start(...LISTS, '--resume');
        const { fake } = predecessor;
        const from = fake.count('GET', '/api/v3/secrets/raw');
        await eventually(() => {
          const listed = fake.count('GET', '/api/v3/secrets/raw') - from;
          if (child.exitCode === null && listed < projects * 3 * share * 0.5) throw new Error('too early');
        }, 120_000);
        child.kill('SIGKILL');
        await ended;
      }
      expect(predecessor.roles().length).toBeGreaterThan(0);
      expect(readFileSync(join(dir, 'migrate-from-tapr.state.json'), 'utf8')).not.toContain(VALUE);
      const { code, report } = await run(...LISTS, '--resume');
      expect([code, report.failure]).toEqual([0, undefined]);
      expect(report.totals).toMatchObject({
        projects,
        read: wanted.size,
        duplicates: wanted.size,
        different: 0,
        skipped: 0,
      });
      expect(report.totals.written + report.totals.equal).toBe(wanted.size);
      expect(report.unassignedProjects.map(({ reason }) => reason)).toEqual(
        Array<string>(WORKSPACES).fill('user_deleted'),
      );
      expect(await stored()).toEqual(wanted);
      expect(predecessor.roles()).toEqual(before);
      expect(existsSync(join(dir, 'migrate-from-tapr.state.json'))).toBe(false);
      const again = await run(...LISTS);
      expect([again.code, again.report.totals]).toMatchObject([0, { written: 0, equal: wanted.size }]);
      expectNothingSecretPrinted();
    },
    FULL ? 400_000 : 120_000,
  );

  it('ends with 1 where something differs, with --exit-zero with 0 and the same report, but not where it fails', async () => {
    const person = predecessor.addPerson('alice@example.org');
    people.set('alice', person);
    const project = predecessor.addProject('notes-alice', person);
    predecessor.addSecret(project, 'prod', 'changed', `${VALUE} 1`, 1);
    writeLists();
    expect((await run(...LISTS)).code).toBe(0);
    predecessor.addSecret(project, 'prod', 'changed', `${VALUE} 2`, 2);
    const plain = await run(...LISTS);
    expect([plain.code, plain.report.clean, plain.report.totals.different]).toEqual([1, false, 1]);
    const inJob = await run('--resume', '--exit-zero', ...LISTS);
    expect(inJob).toEqual({ code: 0, report: plain.report });
    expect(existsSync(join(dir, 'migrate-from-tapr.state.json'))).toBe(false);

    const template = '/api/v2/workspace/{projectId}/identity-memberships/{identityId}';
    const refusal = { kind: 'answer', status: 400, body: {} } as const;
    predecessor.fake.fail({ method: 'DELETE', template, times: 1, fault: refusal });
    const failed = await run('--resume', '--exit-zero', ...LISTS);
    expect([failed.code, failed.report.rolesLeft]).toEqual([1, ['notes-alice']]);
    const next = await run('--resume', '--exit-zero', ...LISTS);
    expect(next).toEqual({ code: 0, report: plain.report });
    expectNothingSecretPrinted();
  }, 60_000);

  it('goes on where standard error takes no progress', async () => {
    fill();
    writeLists();
    const onFull = ['-c', 'exec "$@" 2>/dev/full', 'sh', process.execPath, COMMAND];
    const { ended, out } = startBy('sh', ...onFull, ...LISTS);
    expect(await ended).toBe(0);
    expect(JSON.parse(out())).toMatchObject({ clean: true, rolesLeft: [] });
    expect(predecessor.roles()).toEqual([]);
  }, 120_000);

  it('ends with 130 after SIGINT, with its roles taken away, and says how to go on', async () => {
    fill();
    writeLists();
    const { child, ended, out } = start(...LISTS);
    await eventually(() => {
      if (predecessor.revoked.length === 0) throw new Error('too early');
    }, 30_000);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(predecessor.roles()).toEqual([]);
    expect(JSON.parse(out())).toMatchObject({
      complete: false,
      failure: 'The run was interrupted; --resume goes on with it.',
    });
    expect((await run(...LISTS)).code).toBe(2);
    expect(printed.join('')).toContain('--resume goes on with it');
    expect((await run(...LISTS, '--resume')).code).toBe(0);
    expect(await stored()).toEqual(wanted);
  }, 120_000);

  it.each([
    [['--nonsense', VALUE], 'An argument is unknown or lacks its value'],
    [['--projects', 'missing.json', '--users-file', 'users.json'], 'missing.json cannot be read (ENOENT)'],
    [['--projects', 'projects.json'], 'The users of the cluster cannot be listed'],
    [[...LISTS, '--user', 'nobody'], 'There is no user "nobody"'],
    [['--users-file', 'users.json'], 'TAPR_DATABASE_URL must be postgres://user@host:5432/database'],
  ])(
    'says in one sentence what is wrong: %j',
    async (args, sentence) => {
      writeLists();
      const { ended } = start(...args);
      expect(await ended).toBeGreaterThan(0);
      expect(printed.join('')).toContain(sentence);
      expect(printed.join('').trim().split('\n')).toHaveLength(1);
      expectNothingSecretPrinted();
    },
    60_000,
  );

  it('prints the statement whose result is the list of projects, and its help', async () => {
    const query = start('--print-query');
    expect([await query.ended, query.out()]).toEqual([0, expect.stringMatching(/^SELECT [^;]*;\n$/)]);
    const help = start('--help');
    expect([await help.ended, help.out()]).toEqual([0, expect.stringContaining('--dry-run')]);
  }, 60_000);
});
