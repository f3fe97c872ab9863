import { spawn, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';

const ROOT = resolve(__dirname, '../..');
const MAIN = join(ROOT, 'dist/cli/olares-secrets.js');
const NOTES = readFileSync(join(ROOT, 'examples/charts/notes/OlaresManifest.yaml'), 'utf8');
const LISTENS = 'Ctrl-C stops the gateway.';

// Each of these starts several processes.
jest.setTimeout(60_000);

/** The built command, as its user runs it. */
describe('olares-secrets dev', () => {
  const dir = mkdtempSync(join(tmpdir(), 'olares-secrets-dev-'));
  const manifest = join(dir, 'OlaresManifest.yaml');
  const dataDir = join(dir, 'state/olares-secrets/notes');
  const running: Gateway[] = [];
  const env = {
    PATH: process.env['PATH'] ?? '',
    XDG_STATE_HOME: join(dir, 'state'),
    // Of a shell that has the settings of an installation.
    NODE_ENV: 'production',
    INFISICAL_URL: 'http://127.0.0.1:1',
  };
  const start = async (...args: readonly string[]): Promise<Gateway> => {
    const gateway = new Gateway(dir, env, args);
    running.push(gateway);
    await gateway.shows(LISTENS);
    return gateway;
  };
  const refused = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'dev', ...args], {
      cwd: dir,
      env,
      encoding: 'utf8',
      timeout: 20_000,
    });
    return { status, stdout, stderr };
  };
  beforeAll(() => writeFileSync(manifest, NOTES));
  afterAll(async () => {
    await Promise.all(running.map((gateway) => gateway.end('SIGKILL')));
    rmSync(dir, { recursive: true });
  });

  const filesOf = (folder: string): readonly string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  const variables = (): Readonly<Record<string, string>> =>
    Object.fromEntries(
      [...readFileSync(join(dataDir, 'env'), 'utf8').matchAll(/^export (\w+)='(.*)'$/gm)].map(
        ([, name = '', value = '']) => [name, value],
      ),
    );
  /** A call with the credentials of `headers`, and its status. */
  const call = async (operation: string, workspace: string, body: object): Promise<number> => {
    const lines = readFileSync(join(dataDir, 'headers'), 'utf8').trim().split('\n');
    const headers = Object.fromEntries(lines.map((line) => line.split(': ') as [string, string]));
    const url = variables()['OLARES_SECRETS_URL'];
    return (await httpCall(`${url}/${operation}?workspace=${workspace}`, { headers, body })).status;
  };

  it('serves the app as a cluster does, with credentials that only their user may read, and ends on Ctrl-C with 0', async () => {
    const gateway = await start('--port', '0');
    const secrets = filesOf(dataDir).filter((file) => !file.includes('/vault'));
    for (const file of secrets) expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
    const {
      OLARES_SECRETS_APP_SECRET: appSecret = '',
      OLARES_SECRETS_USER_TOKEN: token = '',
      ...open
    } = variables();
    expect(open).toEqual({
      OLARES_SECRETS_URL: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      OLARES_SECRETS_WORKSPACE: 'notes',
      OLARES_SECRETS_APP_KEY: expect.stringMatching(/^bytetrade_notes_\d+$/),
    });
    const { exp, username } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect([username, exp - Date.now() / 1000 > 23 * 3600]).toEqual(['alice', true]);
    expect(await call('CreateSecret', 'notes', { name: 'a', value: 'b' })).toBe(200);
    expect(await call('DeleteSecret', 'notes', { name: 'a' })).toBe(403);
    expect(await call('ListSecret', 'diary', {})).toBe(403);
    const page = await httpCall(`${open['OLARES_SECRETS_URL']}/docs`, { method: 'GET' });
    expect(page.status).toBe(200);

    const [banner] = gateway.notes.split(LISTENS);
    expect(banner).toMatch(/^olares-secrets dev starts with app notes for user alice\.\n/);
    expect(banner).toContain(`grants     notes  RetrieveSecret CreateSecret ListSecret\n`);
    expect(banner).toMatch(/the user must approve this first, .*: RetrieveSecret\?workspace=mail\./);
    expect(banner).toContain(`source ${dataDir}/env\n`);
    const curl = /^ {2}(curl .*)$/m.exec(gateway.notes)?.[1] ?? '';
    // In no checkout, where npx would ask the registry.
    const list = /^ {2}(node .* list)$/m.exec(gateway.notes)?.[1] ?? '';
    const inShell = (line: string) =>
      spawnSync('sh', ['-c', `. ${dataDir}/env && ${line}`], { cwd: dataDir, encoding: 'utf8' }).stdout;
    expect(JSON.parse(inShell(curl))).toMatchObject({ code: 200, data: [{ name: 'a', value: 'b' }] });
    expect(inShell(list)).toBe('a\n');
    const client = /^ {2}const { env } = [^]*?\}\);$/m.exec(gateway.notes)?.[0] ?? '';
    expect(client.match(/env\.\w+/g)?.map((name) => name.slice(4))).toEqual([
      'OLARES_SECRETS_URL',
      'OLARES_SECRETS_WORKSPACE',
      'OLARES_SECRETS_APP_KEY',
      'OLARES_SECRETS_APP_SECRET',
      'OLARES_SECRETS_USER_TOKEN',
    ]);

    expect(await gateway.end('SIGINT')).toBe(0);
    expect(gateway.notes).toMatch(/The gateway has stopped\. Secrets and credentials stay in .*notes\.\n$/);
    for (const line of gateway.log.trim().split('\n')) JSON.parse(line);
    for (const secret of [appSecret, token, ...keysIn(dataDir)])
      expect([secret.length > 15, (gateway.notes + gateway.log).includes(secret)]).toEqual([true, false]);
  });

  it('starts again with the same credentials and secrets, and refuses a second process and a port that is taken', async () => {
    const earlier = variables();
    const gateway = await start('--port', '0');
    expect(variables()['OLARES_SECRETS_APP_SECRET']).toBe(earlier['OLARES_SECRETS_APP_SECRET']);
    expect(await call('RetrieveSecret', 'notes', { name: 'a' })).toBe(200);

    const other = join(dir, 'other.yaml');
    writeFileSync(other, NOTES.replace('- ListSecret', ''));
    expect(refused('--manifest', other, '--port', '0', '--fresh')).toMatchObject({
      status: 3,
      stdout: '',
      stderr: expect.stringMatching(/in use by another process .* Stop the other one, or .* --data-dir\.\n$/),
    });
    const { port } = new URL(variables()['OLARES_SECRETS_URL'] ?? '');
    const taken = refused('--port', port, '--data-dir', join(dir, 'second'));
    expect([taken.status, taken.stderr.split('\n').at(-2)]).toEqual([
      3,
      `olares-secrets: Port ${port} is taken: stop what listens there, or choose another one with --port.`,
    ]);
    expect(await call('ListSecret', 'notes', {})).toBe(200);
    await gateway.end('SIGTERM');
  });

  it('leaves a folder that holds something else as it is, also with --fresh, for which it does not ask there', () => {
    const cases: readonly (readonly [folder: string, files: readonly string[]])[] = [
      ['photos', ['wedding.jpg']],
      // What LevelDB has too: with a file of such a name, a folder of somebody else looks like a damaged store.
      ['logs', ['000001.log', 'notes.txt']],
      ['links', ['CURRENT', 'notes.txt']],
    ];
    for (const [name, files] of cases) {
      const data = join(dir, name);
      // The folder has been used before, so that the store alone is looked at.
      for (const folder of ['vault', 'development']) mkdirSync(join(data, folder), { recursive: true });
      writeFileSync(join(data, 'development/master-key.key'), 'k'.repeat(32));
      for (const file of files) writeFileSync(join(data, 'vault', file), 'of somebody else');
      for (const more of [[], ['--fresh']]) {
        const { status, stderr } = refused('--port', '0', '--data-dir', data, ...more);
        expect([name, status, stderr.split('\n').at(-2)]).toEqual([
          name,
          3,
          expect.stringMatching(/^olares-secrets: The folder of the embedded store holds something else /),
        ]);
        expect(stderr).not.toContain('--fresh');
        expect(readdirSync(join(data, 'vault'))).toEqual(expect.arrayContaining([...files]));
        for (const file of files)
          expect(readFileSync(join(data, 'vault', file), 'utf8')).toBe('of somebody else');
      }
    }
    const file = join(dir, 'one-file');
    mkdirSync(file);
    writeFileSync(join(file, 'vault'), 'of somebody else');
    expect(refused('--port', '0', '--data-dir', file, '--fresh').status).toBe(3);
    expect(readFileSync(join(file, 'vault'), 'utf8')).toBe('of somebody else');
  });

  it('writes no credentials into a folder of somebody else', () => {
    const data = join(dir, 'project');
    mkdirSync(data);
    writeFileSync(join(data, 'env'), 'of somebody else');
    for (const more of [[], ['--fresh']]) {
      const { status, stderr } = refused('--port', '0', '--data-dir', data, ...more);
      expect([status, stderr.split('\n').at(-2)]).toEqual([
        3,
        `olares-secrets: The folder of the embedded store holds something else (${data}: env is not of olares-secrets dev). Choose another folder with --data-dir.`,
      ]);
      expect([readdirSync(data), readFileSync(join(data, 'env'), 'utf8')]).toEqual([
        ['env'],
        'of somebody else',
      ]);
    }
  });

  it('says of a store that cannot be opened that --fresh deletes it, which makes a new one', async () => {
    const data = join(dir, 'damaged');
    const first = await start('--port', '0', '--data-dir', data);
    await first.end('SIGTERM');
    rmSync(join(data, 'vault/CURRENT'));
    expect(refused('--port', '0', '--data-dir', data)).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/is missing\)\. --fresh deletes it and makes a new one\.\n$/),
    });
    const second = await start('--port', '0', '--data-dir', data, '--fresh');
    expect(second.notes).toContain('(an empty store)');
    await second.end('SIGTERM');
  });

  it('tells which grants come and go with the manifest, and keeps the earlier ones while it is refused', async () => {
    const gateway = await start('--port', '0', '--fresh', '--user', 'bob');
    expect(gateway.notes).toContain('(an empty store)');
    expect(await call('RetrieveSecret', 'notes', { name: 'a' })).toBe(404);

    const link = join(dataDir, 'apps/app/OlaresManifest.yaml');
    const { mtimeMs } = lstatSync(link);
    writeFileSync(manifest, NOTES.replace('- CreateSecret', '- All'));
    await gateway.shows('  - CreateSecret?workspace=notes\n');
    // Otherwise the source would see the change ten seconds later.
    expect(lstatSync(link).mtimeMs).toBeGreaterThan(mtimeMs);
    expect(gateway.notes).toContain(`${manifest}:15: op "All": the operation is none of `);
    expect(await call('CreateSecret', 'notes', { name: 'a', value: 'b' })).toBe(403);

    // As an editor replaces it.
    writeFileSync(`${manifest}~`, NOTES.replace('name: notes', 'name: {{ .Values.name }}'));
    renameSync(`${manifest}~`, manifest);
    await gateway.shows('The 3 earlier grants stay in force, as in a cluster.\n');
    expect(gateway.notes).toContain(`${manifest}:4: metadata.name contains a template directive\n`);
    expect(await call('ListSecret', 'notes', {})).toBe(200);

    rmSync(manifest);
    await gateway.shows('The grants have changed; 0 are in force.\n');
    expect(await call('ListSecret', 'notes', {})).toBe(403);
    writeFileSync(manifest, NOTES);
    await gateway.shows('The grants have changed; 4 are in force.\n');
    await eventually(async () =>
      expect(await call('CreateSecret', 'notes', { name: 'a', value: 'b' })).toBe(200),
    );
    expect(gateway.log).not.toContain('start_banner_failed');
    await gateway.end('SIGTERM');
  });

  it('says in a sentence what it cannot start with', () => {
    expect(refused('--manifest', 'absent.yaml')).toEqual({
      status: 3,
      stdout: '',
      stderr: "olares-secrets: absent.yaml is not there; --manifest names the app's OlaresManifest.yaml.\n",
    });
    mkdirSync(join(dir, 'folder.yaml'));
    expect(refused('--manifest', 'folder.yaml').stderr).toContain('folder.yaml: not a regular file. ');
    writeFileSync(join(dir, 'broken.yaml'), NOTES.replace('  name: notes', '  title: x'));
    expect(refused('--manifest', 'broken.yaml')).toMatchObject({
      status: 3,
      stderr: 'olares-secrets: broken.yaml:3: metadata.name is missing. Nothing was started.\n',
    });
    expect(refused('--user', 'a b')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--user must be 1-253 letters'),
    });
    expect(refused('--port', '99999')).toMatchObject({
      status: 2,
      stderr: 'olares-secrets: --port must be a number from 0 to 65535.\n',
    });
  });

  describeWith('pseudo-terminal', 'on a terminal', () => {
    it('logs for people, denies everything where the manifest states nothing, and says so', async () => {
      const plain = join(dir, 'plain');
      mkdirSync(plain);
      writeFileSync(join(plain, 'OlaresManifest.yaml'), 'metadata:\n  name: plain\n');
      const command = `exec '${process.execPath}' '${MAIN}' dev --port 0`;
      const child = spawn('script', ['-qec', command, '/dev/null'], {
        cwd: plain,
        env: { ...env, TERM: 'xterm' },
      });
      let screen = '';
      child.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
      const ended = new Promise<number | null>((end) => child.once('close', end));
      await eventually(() => expect(screen).toContain(LISTENS)).finally(() => child.stdin.write('\u0003'));
      expect(await ended).toBe(0);
      expect(screen).toMatch(/^olares-secrets dev starts with app plain for user alice\.\r\n/);
      expect(screen).toMatch(/INFO.*listening/);
      expect(screen).toContain('grants     none: every operation is refused with 403;');
      expect(screen.trimEnd().split('\r\n').at(-1)).toMatch(/^The gateway has stopped\. /);
    });
  });
});

function keysIn(dataDir: string): readonly string[] {
  const folder = join(dataDir, 'development');
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8').trim());
}

class Gateway {
  /** What stands on standard error. */
  notes = '';
  /** What stands on standard output. */
  log = '';
  readonly #child;
  readonly #ended: Promise<number | null>;

  constructor(cwd: string, env: Readonly<Record<string, string>>, args: readonly string[]) {
    this.#child = spawn(process.execPath, [MAIN, 'dev', ...args], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.notes += chunk.toString()));
    this.#ended = new Promise((end) => this.#child.once('close', end));
  }

  async shows(text: string): Promise<void> {
    await eventually(() => {
      if (!this.notes.includes(text)) throw new Error(`no ${text}: ${this.notes}`);
    });
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.#ended;
  }
}
