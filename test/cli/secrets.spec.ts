import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { READER } from '../support/example-apps';
import { ScriptedServer } from '../client/scripted-server';
import { BuiltCommands, ended } from './built-commands';

const NUL = '/dev/null';
const CANARY = 'canary-4f1c9e';
let commands: BuiltCommands;
beforeAll(async () => (commands = await BuiltCommands.start()));
afterAll(() => commands.close());

describe('set and get', () => {
  it('take a value from standard input without the newline at its end, and give it back without one', async () => {
    expect(await commands.run(['set', 'greeting'], { input: 'hello\nworld\n' })).toEqual({
      status: 0,
      stdout: '',
      stderr: 'greeting is stored.\n',
    });
    expect(await commands.run(['get', 'greeting'])).toEqual({
      status: 0,
      stdout: 'hello\nworld',
      stderr: '',
    });
    expect(JSON.parse((await commands.run(['get', 'greeting', '--json'])).stdout)).toEqual({
      name: 'greeting',
      value: 'hello\nworld',
      env: 'prod',
    });
  });

  it('keep every byte with --exact and with --file', async () => {
    const value = 'a line\r\n\u{1f511}\n\n';
    writeFileSync(join(commands.dir, 'value'), value);
    await Promise.all([
      commands.run(['set', 'exact', '--exact'], { input: value }),
      commands.run(['set', 'from-file', '--file', 'value']),
    ]);
    expect([await commands.vault.retrieve('exact'), await commands.vault.retrieve('from-file')]).toEqual([
      value,
      value,
    ]);
    expect((await commands.run(['get', 'exact'])).stdout).toBe(value);
  });

  it('refuse what is no value: an argument, nothing at all, bytes that are no text, a file that is not there', async () => {
    const all = await Promise.all([
      commands.run(['set', 'refused', CANARY]),
      commands.run(['set', 'refused', `--value=${CANARY}`]),
      commands.run(['set', 'refused', '--file', NUL]),
      commands.run(['set', 'refused'], { input: Buffer.from([0xff, 0xfe]) }),
      commands.run(['set', 'refused', '--file', 'missing']),
    ]);
    expect(all.map(({ status, stderr }) => [status, stderr])).toEqual([
      [2, "olares-secrets: Too many arguments for 'set'. Expected 1 argument but got 2.\n"],
      [2, "olares-secrets: Unknown option '--value'.\n"],
      [2, 'olares-secrets: The value is empty; --allow-empty stores it all the same.\n'],
      [3, 'olares-secrets: standard input is not UTF-8 text: encode it first, for example as base64.\n'],
      [3, 'olares-secrets: missing cannot be used: ENOENT.\n'],
    ]);
    expect((await commands.run(['get', 'refused'])).status).toBe(1);
    expect((await commands.run(['set', 'empty', '--allow-empty', '--file', NUL])).status).toBe(0);
    expect(await commands.vault.retrieve('empty')).toBe('');
  });

  it('leave an existing secret as it is with --no-overwrite, and create one for an app that may not update', async () => {
    await commands.vault.put('kept', CANARY);
    expect(await commands.run(['set', 'kept', '--no-overwrite'], { input: 'x' })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^olares-secrets: SECRET_ALREADY_EXISTS: .+ \(request [\w-]+\)\n$/),
    });
    expect(await commands.vault.retrieve('kept')).toBe(CANARY);
    const { appKey = '', appSecret = '' } = READER;
    const reader = { OLARES_SECRETS_APP_KEY: appKey, OLARES_SECRETS_APP_SECRET: appSecret };
    const refused = await commands.run(['set', 'kept'], { input: 'x', env: reader });
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('NOT_GRANTED') });
    expect(refused.stderr).toContain('UpdateSecret?workspace=otmoic');
  });
});

describe('the commands of secrets', () => {
  it('list names alone, and values as JSON texts where they are asked for', async () => {
    await commands.vault.put('listed', 'two\nlines\u009b');
    const line = (text: string) => text.split('\n').find((one) => one.startsWith('listed'));
    expect(line((await commands.run(['list'])).stdout)).toBe('listed');
    expect((await commands.run(['list', '--json'])).stdout).toContain('{"name":"listed"}');
    expect(line((await commands.run(['list', '--reveal'])).stdout)).toBe('listed\t"two\\nlines\\u009b"');
  });

  it('give a terminal nothing to obey, and no line that looks like another, whatever a server calls its secrets', async () => {
    const secret = { name: 'a\u001b[2J\nb\u202ec', value: '\u009b2J\u2066' };
    const data = { data: [secret], unreadable: ['\u001b]0;x\u0007'] };
    const server = await ScriptedServer.start([{ status: 200, body: { code: 200, ...data } }]);
    try {
      const run = (...args: string[]) => commands.run(args, { env: { OLARES_SECRETS_URL: server.url } });
      const { stdout, stderr } = await run('list', '--reveal');
      expect([stdout, stderr]).toEqual([
        'a\ufffd[2J\ufffdb\ufffdc\t"\\u009b2J\\u2066"\n',
        'The store cannot show the values of \ufffd]0;x\ufffd.\n',
      ]);
      const json = (await run('list', '--reveal', '--json')).stdout;
      expect([JSON.parse(json), /[^\n -~]/.test(json)]).toEqual([[secret], false]);
    } finally {
      await server.close();
    }
  });

  it('delete a secret once', async () => {
    await commands.vault.put('deleted', 'x');
    const [first, second] = [
      await commands.run(['delete', 'deleted']),
      await commands.run(['delete', 'deleted']),
    ];
    expect([first.status, first.stderr, second.status]).toEqual([0, 'deleted is deleted.\n', 1]);
  });

  it('name all that the connection lacks, and read credentials from files', async () => {
    const none = {
      OLARES_SECRETS_URL: '',
      OLARES_SECRETS_WORKSPACE: '',
      OLARES_SECRETS_APP_SECRET: '',
    };
    expect(await commands.run(['list'], { env: none })).toEqual({
      status: 2,
      stdout: '',
      stderr:
        'olares-secrets: This is not given: --url or OLARES_SECRETS_URL, --workspace or OLARES_SECRETS_WORKSPACE, ' +
        "the app's credentials (OLARES_SECRETS_APP_KEY with OLARES_SECRETS_APP_SECRET or OLARES_SECRETS_APP_SECRET_FILE; " +
        'or OLARES_SECRETS_TOKEN_FILE).\n',
    });
    const file = join(commands.dir, 'app-secret');
    writeFileSync(file, `${commands.env['OLARES_SECRETS_APP_SECRET']}\n`, { mode: 0o600 });
    const fromFile = { OLARES_SECRETS_APP_SECRET: '', OLARES_SECRETS_APP_SECRET_FILE: file };
    expect((await commands.run(['list'], { env: fromFile })).status).toBe(0);
  });

  it('exit with 1 where the service says no and with 3 where it cannot be asked, and show no credential', async () => {
    const [forged, away, elsewhere] = await Promise.all([
      commands.run(['list'], { env: { OLARES_SECRETS_APP_SECRET: CANARY } }),
      commands.run(['list', '--url', `http://${CANARY}@127.0.0.1`]),
      commands.run(['list', '--url', 'http://127.0.0.1:1']),
    ]);
    expect([forged.status, away.status, elsewhere.status]).toEqual([1, 2, 3]);
    for (const { stdout, stderr } of [forged, away, elsewhere]) {
      expect([stdout, stderr.split('\n').length]).toEqual(['', 2]);
      expect(stderr).not.toMatch(new RegExp(`${CANARY}|    at `));
    }
  });
});

describe('edit', () => {
  /** An editor that is a script of the shell; `$1` is the file. */
  const editor = (script: string) => {
    const file = join(commands.dir, 'editor');
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    return { VISUAL: `${file} --wait`, EDITOR: '/bin/false' };
  };
  const remains = () => readdirSync('/dev/shm').filter((name) => name.startsWith('olares-secrets-'));
  const seen = join('home', 'seen');

  it('gives the editor a file in memory that only its user may read, and nothing of it stays', async () => {
    await commands.vault.put('edited', `${CANARY}`);
    const script = `shift; stat -c '%a %n' "$1" "$(dirname "$1")" >${seen}; env >>${seen}; echo more >>"$1"; cp "$1" "$1~"`;
    expect(await commands.run(['edit', 'edited'], { env: editor(script) })).toEqual({
      status: 0,
      stdout: '',
      stderr: 'edited is stored.\n',
    });
    // The newline at the end is the editor's.
    expect(await commands.vault.retrieve('edited')).toBe(`${CANARY}more`);
    const [file = '', folder = '', ...env] = linesOf(seen);
    expect(file).toMatch(/^600 \/dev\/shm\/olares-secrets-\w+\/value$/);
    expect(folder).toMatch(/^700 \/dev\/shm\/olares-secrets-\w+$/);
    expect(env.filter((line) => line.startsWith('OLARES_SECRETS_'))).toEqual([]);
    expect(existsSync(folder.slice(4))).toBe(false);
    expect(commands.filesWith(CANARY)).toEqual([]);
  });

  it('leaves alone what somebody else wrote meanwhile', async () => {
    await commands.vault.put('contested', 'before');
    const child = commands.spawn(
      ['edit', 'contested'],
      editor(`touch ${seen}-2; read answer; echo mine >"$2"`),
    );
    const result = ended(child);
    await eventually(() => expect(existsSync(join(commands.dir, `${seen}-2`))).toBe(true));
    await commands.vault.update('contested', 'theirs');
    child.stdin.end('go on\n');
    expect(await result).toMatchObject({
      status: 1,
      stderr:
        'olares-secrets: contested was written by somebody else meanwhile, and does not hold your text.\n',
    });
    expect(await commands.vault.retrieve('contested')).toBe('theirs');
  });

  it('changes nothing where the editor fails, or leaves the text as it was or none', async () => {
    await commands.vault.put('unchanged', 'before');
    const edit = (script: string) => commands.run(['edit', 'unchanged'], { env: editor(script) });
    expect(await edit('exit 1')).toMatchObject({ status: 3 });
    expect(await edit('true')).toMatchObject({ status: 0, stderr: 'Nothing was changed.\n' });
    expect(await edit(': >"$2"')).toMatchObject({ status: 1 });
    expect(await commands.vault.retrieve('unchanged')).toBe('before');
  });

  it('removes the file when a signal ends it', async () => {
    await commands.vault.put('ended', CANARY);
    const child = commands.spawn(['edit', 'ended'], editor(`echo "$2" >${seen}-3; exec sleep 60`));
    const result = ended(child);
    const file = join(commands.dir, `${seen}-3`);
    await eventually(() => expect(existsSync(file) && linesOf(`${seen}-3`)[0]).toMatch(/value$/));
    expect(remains()).toContain(linesOf(`${seen}-3`)[0]?.split('/')[3]);
    child.kill('SIGTERM');
    expect((await result).status).toBe('SIGTERM');
    expect(existsSync(linesOf(`${seen}-3`)[0] ?? '')).toBe(false);
  });

  const linesOf = (name: string): readonly string[] =>
    readFileSync(join(commands.dir, name), 'utf8').split('\n').filter(Boolean);
});

describeWith('pseudo-terminal', 'on a terminal', () => {
  it('get masks the value unless --reveal is given, and a terminal obeys nothing of it', async () => {
    await commands.vault.put('shown', `${CANARY}\u001b[31m`);
    const masked = await commands.onTerminal(['get', 'shown']);
    expect(masked).toMatchObject({ status: 0, screen: expect.stringContaining('********\r\n') });
    expect(masked.screen).not.toContain(CANARY);
    const { screen } = await commands.onTerminal(['get', 'shown', '--reveal']);
    expect(screen).toContain(`${CANARY}\ufffd[31m\r\n`);
    await commands.vault.put('exported', `${CANARY}\u009b31m`);
    const exported = await commands.onTerminal(['export', '--format', 'json', '--reveal']);
    expect(exported.screen).toContain(`"${CANARY}\ufffd31m"`);
  });

  it('set asks for the value and shows nothing of it', async () => {
    const { status, screen } = await commands.onTerminal(
      ['set', 'asked'],
      [['Value of asked', `${CANARY}X\u007f\r`]],
    );
    expect([status, screen.includes(CANARY.slice(0, 4))]).toEqual([0, false]);
    expect(await commands.vault.retrieve('asked')).toBe(CANARY);
    const interrupted = await commands.onTerminal(['set', 'asked'], [['Value of asked', 'other\u0003']]);
    expect(interrupted.status).toBe(1);
    expect(await commands.vault.retrieve('asked')).toBe(CANARY);
  });

  it('set stores nothing of a value of several lines that was pasted', async () => {
    for (const pasted of [`first\r${CANARY}2\r`, 'first\rrest without an end']) {
      const { status, screen } = await commands.onTerminal(['set', 'pasted'], [['Value of pasted', pasted]]);
      expect([status, screen.includes(CANARY)]).toEqual([2, false]);
      expect(screen).toContain('several lines');
    }
    expect(await commands.vault.getOr('pasted', undefined)).toBeUndefined();
  });

  it('set leaves nothing of a long value that was pasted to the shell', async () => {
    const lines = `${'x'.repeat(70)}\r`.repeat(10_000);
    const script = '"$@"; code=$?; timeout --foreground 1 cat >/dev/null; exit $code';
    const { status, screen } = await commands.onTerminal(
      ['set', 'pasted'],
      [['Value of pasted', `first\r${lines}${CANARY}\r`]],
      {},
      ['sh', '-c', script, 'sh'],
    );
    // A terminal would show what the shell is given.
    expect([status, screen.includes(CANARY), screen.includes('xxx')]).toEqual([2, false, false]);
  });

  it('delete asks whether it is meant', async () => {
    await commands.vault.put('doomed', 'x');
    expect((await commands.onTerminal(['delete', 'doomed'], [['[y/N]', '\r']])).status).toBe(1);
    expect(await commands.vault.retrieve('doomed')).toBe('x');
    expect((await commands.onTerminal(['delete', 'doomed'], [['[y/N]', 'y\r']])).status).toBe(0);
    expect(await commands.vault.getOr('doomed', undefined)).toBeUndefined();
  });
});
