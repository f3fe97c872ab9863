import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';
import { listeningPorts } from '../support/listening-ports';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';
import { becomes } from '../support/without-privileges';
import { KNOWN_NODE_FLAGS, NODE_FLAGS, ROOT, stagesOf } from './recipe';

const UNPRIVILEGED = 65_532;
const OPS = ['CreateSecret?workspace=otmoic', 'RetrieveSecret?workspace=otmoic'];
const [, build = [], final = []] = stagesOf();

/** Takes the recipe at its word: the very steps of both stages, in folders in place of layers. */
describe('the image, made by the steps of its recipe', () => {
  const dir = mkdtempSync(join(tmpdir(), 'image-'));
  const built = join(dir, 'build');
  const image = join(dir, 'image');
  let service: ChildProcess | undefined;
  let output = '';

  beforeAll(() => {
    chmodSync(dir, 0o755);
    mkdirSync(built);
    mkdirSync(image);
    for (const { keyword, text, words } of build) {
      if (keyword === 'COPY')
        for (const source of words.slice(0, -1))
          cpSync(join(ROOT, source), join(built, words.length === 2 ? (words[1] ?? '') : source), {
            recursive: true,
          });
      // In place of the bases stands this machine.
      if (keyword === 'RUN')
        execFileSync('/bin/sh', ['-c', text], {
          cwd: built,
          stdio: 'ignore',
          env: { ...process.env, UNPINNED_BASES: 'allowed' },
        });
    }
    for (const { keyword, words } of final) {
      const [from = '', to = ''] = words;
      if (keyword !== 'COPY') continue;
      const inside = from.replace(/^\/app\//, '');
      // Moved, not copied: there are tens of thousands of files.
      renameSync(join(built, inside), join(image, to === './' ? inside : to));
    }
    // Whatever this user's umask is, in the image's layers everybody may read.
    execFileSync('chmod', ['-R', 'a-w,a+rX', image]);
  }, 300_000);
  afterAll(async () => {
    if (service?.exitCode === null) {
      service.kill('SIGKILL');
      await new Promise((resolve) => service?.once('close', resolve));
    }
    execFileSync('chmod', ['-R', 'u+w', image]);
    rmSync(dir, { recursive: true });
  });

  /** The arguments of Node as the recipe has them, without the flags that the Node of this machine is too old for. */
  const runnable = (args: readonly string[]): readonly string[] =>
    args.filter((arg) => !NODE_FLAGS.includes(arg) || KNOWN_NODE_FLAGS.includes(arg));

  const environmentOf = (...stage: typeof final): Record<string, string> =>
    Object.fromEntries(
      stage
        .filter(({ keyword }) => keyword === 'ENV')
        .flatMap(({ words }) =>
          words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
        ),
    );

  it('holds what runs and nothing of what built it', () => {
    expect(readdirSync(image).sort()).toEqual(['dist', 'node_modules', 'package.json']);
    for (const tool of ['jest', 'typescript', 'eslint', '@nestjs/cli', '@nestjs/testing'])
      expect([tool, existsSync(join(image, 'node_modules', tool))]).toEqual([tool, false]);
    expect(existsSync(join(image, 'dist/main.js'))).toBe(true);
    expect(existsSync(join(image, 'dist/cli/unregister.js'))).toBe(true);
    // The script of examples/charts/notes runs in this image.
    expect(existsSync(join(image, 'dist/client/index.js'))).toBe(true);
    expect(existsSync(join(image, 'node_modules/bcryptjs'))).toBe(true);
  });

  it('holds at most 70 MB of packages, without source maps and types', () => {
    const megabytes = execFileSync('du', ['-sm', join(image, 'node_modules')], { encoding: 'utf8' });
    expect(parseInt(megabytes, 10)).toBeLessThanOrEqual(70);
    const files = readdirSync(join(image, 'node_modules'), { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => /\.(map|d\.[mc]?ts)$/.test(file))).toEqual([]);
  });

  it('needs at most 110 MB of packages where nothing is left out of them', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
    };
    // As `npm ci --omit=dev` installs them; those of other platforms are not there.
    const production = Object.keys(packages).filter((path) => path !== '' && packages[path]?.dev !== true);
    const folders = production.map((path) => join(ROOT, path)).filter((folder) => existsSync(folder));
    const total =
      execFileSync('du', ['-scm', ...folders], { encoding: 'utf8' })
        .trim()
        .split('\n')
        .at(-1) ?? '';
    expect(parseInt(total, 10)).toBeLessThanOrEqual(110);
  });

  it('holds the files of the viewer of its API, with their licences, and not the package', () => {
    expect(existsSync(join(image, 'node_modules/swagger-ui-dist'))).toBe(false);
    expect(readdirSync(join(image, 'dist/swagger-ui-dist')).sort()).toEqual([
      'LICENSE',
      'NOTICE',
      'swagger-ui-bundle.js',
      'swagger-ui-bundle.js.LICENSE.txt',
      'swagger-ui.css',
    ]);
  });

  it('serves a round trip as an unprivileged user on a read-only tree', async () => {
    const data = join(dir, 'data');
    mkdirSync(data);
    cpSync(join(ROOT, 'examples/apps'), join(dir, 'apps'), { recursive: true });
    writeFileSync(
      join(dir, 'apps/otmoiclp/app.yaml'),
      JSON.stringify({ user: 'alice', appKey: 'bytetrade_otmoiclp_1', appSecret: '0'.repeat(16) }),
    );
    execFileSync('chmod', ['-R', 'a+rX', join(dir, 'apps')]);
    if (process.geteuid?.() === 0) chownSync(data, UNPRIVILEGED, UNPRIVILEGED);
    const [command = '', ...args] = JSON.parse(
      final.find(({ keyword }) => keyword === 'ENTRYPOINT')?.text ?? '[]',
    ) as string[];
    expect(command).toBe('node');
    const env = {
      ...environmentOf(...final),
      HOST: '127.0.0.1',
      PORT: '0',
      DATA_DIR: data,
      GRANTS_DIR: join(dir, 'apps'),
      MASTER_KEY: 'm'.repeat(32),
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      API_DOCS: 'on',
    };
    expect(env).toMatchObject({ NODE_ENV: 'production' });
    service = spawn(process.execPath, [...becomes(UNPRIVILEGED), ...runnable(args)], {
      cwd: image,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [service.stdout, service.stderr])
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(() => expect(output).toContain('"msg":"listening"'), 20_000);
    const line = output.split('\n').find((text) => text.includes('"msg":"listening"')) ?? '';
    const url = `http://127.0.0.1:${(JSON.parse(line) as { port: number }).port}`;
    const headers = {
      'x-authorization': await userToken('alice', Date.now()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OPS, Date.now()),
    };
    const call = async (op: string, body: object) =>
      (await httpCall(`${url}/${op}?workspace=otmoic`, { headers, body })).body;
    expect(await call('CreateSecret', { name: 'k', value: 'v' })).toMatchObject({ code: 200 });
    expect(await call('RetrieveSecret', { name: 'k' })).toMatchObject({ code: 200, data: { value: 'v' } });
    // The command line has its client there. A proof would need a worker thread, which cannot become another user once more as this process did.
    writeFileSync(join(dir, 'token'), 'no-token-of-a-pod');
    const list = [join(image, 'dist/cli/olares-secrets.js'), 'list', '--url', url, '--workspace', 'otmoic'];
    const listed = promisify(execFile)(process.execPath, list, {
      env: { OLARES_SECRETS_TOKEN_FILE: join(dir, 'token') },
    });
    await expect(listed).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('UNAUTHENTICATED'),
    });
    const health = final.find(({ keyword }) => keyword === 'HEALTHCHECK')?.text ?? '';
    const [, ...check] = JSON.parse(health.slice(health.indexOf('['))) as string[];
    const probe = spawn(process.execPath, runnable(check), {
      env: { PORT: new URL(url).port },
      stdio: 'ignore',
    });
    expect(await new Promise((resolve) => probe.once('close', resolve))).toBe(0);
    expect((await httpCall(`${url}/readyz`, { method: 'GET' })).status).toBe(200);
    for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
      const viewer = await httpCall(`${url}/docs/${file}`, { method: 'GET' });
      expect([file, viewer.status, viewer.text]).toEqual([
        file,
        200,
        readFileSync(join(ROOT, 'node_modules/swagger-ui-dist', file), 'utf8'),
      ]);
    }
    const pid = service.pid ?? 0;
    process.kill(pid, 'SIGUSR1');
    expect((await httpCall(`${url}/livez`, { method: 'GET' })).status).toBe(200);
    expect(listeningPorts(pid)).toEqual([Number(new URL(url).port)]);
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(
      process.geteuid?.() === 0 ? /^Uid:\t65532\t65532\t65532\t65532$/m : /^Uid:\t[1-9]/m,
    );
    expect(lstatSync(join(image, 'dist')).mode & 0o222).toBe(0);
    service.kill('SIGTERM');
    expect(await new Promise((resolve) => service?.once('close', resolve))).toBe(0);
  }, 60_000);
});
