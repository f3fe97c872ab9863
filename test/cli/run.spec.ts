import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { MAIN } from './built-command';
import { BuiltCommands, ended } from './built-commands';

const CANARY = 'canary-81d2ab';
let commands: BuiltCommands;
beforeAll(async () => {
  commands = await BuiltCommands.start();
  await commands.vault.put('api.token', CANARY);
  await commands.vault.put('2nd-käy', 'two\nlines');
});
afterAll(() => commands.close());

/** A program of Node that is told what it is run with. */
const node = (script: string, ...args: readonly string[]) => ['--', process.execPath, '-e', script, ...args];

describe('run', () => {
  it('hands on the secrets as variables, its streams and every argument, and ends with the exit code of the program', async () => {
    const show =
      'process.stdin.on("data", (text) => console.log(`${text}`)).on("end", () => process.exit(7));' +
      'console.log(JSON.stringify([process.env, process.argv.slice(1)]))';
    const { status, stdout, stderr } = await commands.run(
      ['run', ...node(show, 'run', '--watch', '--env=x')],
      {
        input: 'from standard input',
      },
    );
    const [first = '', second] = stdout.split('\n');
    const [env, args] = JSON.parse(first) as [Record<string, string>, string[]];
    expect([status, stderr, second]).toEqual([7, '', 'from standard input']);
    expect(args).toEqual(['run', '--watch', '--env=x']);
    expect(env).toMatchObject({ API_TOKEN: CANARY, _2ND_K_Y: 'two\nlines', HOME: commands.env['HOME'] });
    expect(Object.keys(env).filter((name) => name.startsWith('OLARES_SECRETS_'))).toEqual([]);
  });

  it('leaves no secret in a command line, in its own environment, in a file or in the log of the service', async () => {
    const child = commands.spawn(['run', ...node('console.log(process.pid); setInterval(() => {}, 1e6)')]);
    const result = ended(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await eventually(() => expect(printed).toMatch(/^\d+\n$/));
    const [parent, program] = [String(child.pid), printed.trim()];
    const seen = (pid: string, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
    expect(seen(program, 'environ')).toContain(CANARY);
    for (const text of [seen(program, 'cmdline'), seen(parent, 'cmdline'), seen(parent, 'environ')])
      expect([text.length > 0, text.includes(CANARY)]).toEqual([true, false]);
    // Also while it runs: a file that was there for a moment only would be seen by others.
    expect(commands.filesWith(CANARY)).toEqual([]);
    // Other suites have files there meanwhile, which may go while they are read.
    expect(spawnSync('grep', ['-rlsF', CANARY, '/dev/shm'], { encoding: 'utf8' }).stdout).toBe('');
    expect(commands.service.log()).not.toContain(CANARY);
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ status: 143, stderr: '' });
  });

  it('forwards signals, and says by its exit code which one ended the program', async () => {
    const program =
      'for (const one of ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGINT"]) process.on(one, () => console.log(one));' +
      'setInterval(() => {}, 1e6); console.log("ready")';
    const child = commands.spawn(['run', ...node(program)]);
    const result = ended(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await eventually(() => expect(printed).toBe('ready\n'));
    let shown = printed;
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGINT'] as const) {
      child.kill(signal);
      shown += `${signal}\n`;
      await eventually(() => expect(printed).toBe(shown));
    }
    child.kill('SIGQUIT');
    expect((await result).status).toBe(131);
  });

  it('starts nothing where it would be wrong, and says why', async () => {
    const started = join(commands.dir, 'started');
    const touch = ['--', 'touch', started];
    await Promise.all([
      commands.vault.put('api-token', 'x'),
      commands.vault.put('ld.preload', '/tmp/evil.so'),
    ]);
    const all = await Promise.all([
      commands.run(['run', ...touch]),
      commands.run(['run', '--only', 'ld.preload', ...touch]),
      commands.run(['run', '--only', 'api-token', ...touch], { env: { API_TOKEN: 'mine' } }),
      commands.run(['run', '--only', 'not-there', ...touch]),
      commands.run(['run', '--interval', '0', ...touch]),
      commands.run(['run', '--only', 'api-token', '--', join(commands.dir, 'missing')]),
      commands.run(['run', '--only', 'api-token', '--', commands.dir]),
    ]);
    await commands.vault.delete('api-token');
    await commands.vault.delete('ld.preload');
    expect(all.map(({ status }) => status)).toEqual([1, 1, 1, 1, 2, 127, 126]);
    expect(all[0]?.stderr).toBe(
      'olares-secrets: The secrets api-token and api.token would both be the variable API_TOKEN: --prefix or --only avoids it.\n',
    );
    expect(all[1]?.stderr).toContain('LD_PRELOAD, which decides what programs do');
    expect(all[2]?.stderr).toContain('would replace the variable API_TOKEN, which is set');
    expect(existsSync(started)).toBe(false);
  });

  it('starts the program again with --watch when a secret has changed, and goes on with the earlier ones where it cannot', async () => {
    await commands.vault.put('watched', 'one');
    const program =
      'process.on("SIGTERM", () => { console.log("ends"); process.exit(0); });' +
      'setInterval(() => {}, 1e6); console.log(process.env.WATCHED)';
    const child = commands.spawn(['run', '--watch', '--interval', '1', ...node(program)]);
    const result = ended(child);
    let printed = '';
    let noted = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (noted += chunk.toString()));
    await eventually(() => expect(printed).toBe('one\n'));
    await commands.vault.update('watched', 'two');
    await eventually(() => expect(printed).toBe('one\nends\ntwo\n'));
    await commands.vault.create('watched!', 'x');
    await commands.vault.create('watched?', 'x');
    await eventually(() => expect(noted).toContain('The program goes on with the earlier ones.'));
    expect(noted).toContain('would both be the variable WATCHED_');
    await Promise.all([commands.vault.delete('watched!'), commands.vault.delete('watched?')]);
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ status: 0, stdout: expect.stringMatching(/two\nends\n$/) });
    expect(noted).not.toContain(CANARY);
  });

  it('goes on where standard error takes nothing, and starts the program again with --watch', async () => {
    await commands.vault.put('unheard', 'one');
    const onFull = (...args: readonly string[]) =>
      spawn('sh', ['-c', 'exec "$@" 2>/dev/full', 'sh', process.execPath, MAIN, ...args], {
        cwd: commands.dir,
        env: commands.env,
      });
    const set = onFull('set', 'told-nowhere');
    set.stdin.end('x');
    expect(await ended(set)).toMatchObject({ status: 0 });
    const program = 'setInterval(() => {}, 1e6); console.log(process.env.UNHEARD)';
    const child = onFull('run', '--watch', '--interval', '1', '--only', 'unheard', ...node(program));
    const result = ended(child);
    try {
      let printed = '';
      child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
      await eventually(() => expect(printed).toBe('one\n'));
      await commands.vault.update('unheard', 'two');
      await eventually(() => expect(printed).toBe('one\ntwo\n'));
    } finally {
      child.kill('SIGTERM');
    }
    expect(await result).toMatchObject({ status: 143 });
  });

  it('does not start the program again with --watch where a refused change was taken back', async () => {
    await commands.vault.put('kept', 'one');
    const program =
      'process.on("SIGTERM", () => { console.log("ends"); process.exit(0); });' +
      'setInterval(() => {}, 1e6); console.log(process.env.KEPT)';
    const child = commands.spawn(['run', '--watch', '--interval', '1', ...node(program)]);
    const result = ended(child);
    let [printed, noted] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (noted += chunk.toString()));
    await eventually(() => expect(printed).toBe('one\n'));
    await commands.vault.create('ld.preload', '/tmp/evil.so');
    await eventually(() => expect(noted).toContain('The program goes on with the earlier ones.'));
    await commands.vault.delete('ld.preload');
    // For as long as it takes to look twice.
    await pause(2_500);
    await commands.vault.update('kept', 'two');
    await eventually(() => expect(printed).toMatch(/two\n$/));
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ status: 0, stdout: 'one\nends\ntwo\nends\n' });
  });

  it('starts a program again with --watch that has survived SIGHUP and SIGINT, and not one that they end', async () => {
    await commands.vault.put('survived', 'one');
    const watch = ['run', '--watch', '--interval', '1', '--only', 'survived'];
    const survivor =
      'for (const one of ["SIGHUP", "SIGINT"]) process.on(one, () => console.log(one));' +
      'setInterval(() => {}, 1e6); console.log(process.env.SURVIVED)';
    const child = commands.spawn([...watch, ...node(survivor)]);
    const result = ended(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    // This one takes longer for its end than until the change is seen.
    const slow = 'process.on("SIGHUP", () => setTimeout(() => process.exit(7), 4_000));';
    const ending = commands.spawn([...watch, ...node(`${slow} setInterval(() => {}, 1e6); console.log(1)`)]);
    const endingResult = ended(ending);
    let started = '';
    ending.stdout.on('data', (chunk: Buffer) => (started += chunk.toString()));
    await eventually(() => expect([printed, started]).toEqual(['one\n', '1\n']));
    child.kill('SIGHUP');
    await eventually(() => expect(printed).toBe('one\nSIGHUP\n'));
    child.kill('SIGINT');
    await eventually(() => expect(printed).toBe('one\nSIGHUP\nSIGINT\n'));
    ending.kill('SIGHUP');
    await commands.vault.update('survived', 'two');
    expect(await endingResult).toMatchObject({ status: 7, stdout: '1\n', stderr: '' });
    await eventually(() => expect(printed).toBe('one\nSIGHUP\nSIGINT\ntwo\n'), 20_000);
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ status: 143 });
  }, 60_000);

  it('ends with its program although --watch waits for an access token', async () => {
    let isAsked = false;
    let reads = 0;
    const service = new URL(commands.service.url);
    // Passes everything on, but refuses the token of the second read, and does not answer when another one is asked for.
    const proxy = createServer((request, response) => {
      const isRead = request.url?.startsWith('/RetrieveSecret') === true;
      if (isRead && reads++ > 0) {
        response.writeHead(401, { 'content-type': 'application/json' });
        response.end('{"code":401,"message":"no","data":{"reason":"UNAUTHENTICATED","requestId":"r"}}');
        return;
      }
      isAsked = reads > 1;
      if (isAsked) return;
      const { method, url: path, headers } = request;
      const passed = httpRequest({ host: service.hostname, port: service.port, method, path, headers });
      passed.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      request.pipe(passed);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const env = { OLARES_SECRETS_URL: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    const args = ['run', '--watch', '--interval', '1', '--only', 'api.token'];
    const child = commands.spawn([...args, ...node('setInterval(() => {}, 1e6)')], env);
    const result = ended(child);
    await eventually(() => expect(isAsked).toBe(true));
    child.kill('SIGTERM');
    // The request would keep it for longer than a test may take.
    expect(await result).toMatchObject({ status: 143 });
    proxy.closeAllConnections();
    proxy.close();
  });

  it('starts no program again where a signal comes while the earlier one is ended for it', async () => {
    await commands.vault.put('ended', 'one');
    const program =
      'process.on("SIGTERM", () => console.log("ends"));' +
      'process.on("SIGHUP", () => { console.log("SIGHUP"); process.exit(5); });' +
      'setInterval(() => {}, 1e6); console.log(process.env.ENDED)';
    const watch = ['run', '--watch', '--interval', '1', '--only', 'ended'];
    const child = commands.spawn([...watch, ...node(program)]);
    const result = ended(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await eventually(() => expect(printed).toBe('one\n'));
    await commands.vault.update('ended', 'two');
    await eventually(() => expect(printed).toBe('one\nends\n'));
    child.kill('SIGHUP');
    expect(await result).toMatchObject({ status: 5, stdout: 'one\nends\nSIGHUP\n' });
  });
});

describeWith('pseudo-terminal', 'run on a terminal', () => {
  it.each([
    ['its standard input is', []],
    ['its standard output is', ['sh', '-c', 'exec "$@" </dev/null 2>/dev/null', 'sh']],
  ])(
    'lets the terminal alone tell the program of Ctrl-C where %s, so that it has it once',
    async (_title, before) => {
      const program =
        'let count = 0; process.on("SIGINT", () => console.log(`interrupted ${++count}`));' +
        'process.on("SIGUSR1", () => setTimeout(() => process.exit(count), 500)); setInterval(() => {}, 1e6); console.log(`ready ${process.ppid};`)';
      const { status, screen } = await commands.onTerminal(
        ['run', '--only', 'api.token', ...node(program)],
        [
          [';', '\u0003'],
          [
            'interrupted 1',
            (screen) => {
              // As the terminal does for every process of the group; the program has had its own.
              const command = Number(/ready (\d+);/.exec(screen)?.[1]);
              process.kill(command, 'SIGINT');
              process.kill(command, 'SIGUSR1');
            },
          ],
        ],
        {},
        before,
      );
      expect([status, screen.includes('interrupted 2')]).toEqual([1, false]);
    },
  );
});
