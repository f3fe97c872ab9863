import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SecretVault } from '../../src/client/index';
import { BuiltCommands } from './built-commands';

const CANARY = 'canary-77c0de';
let commands: BuiltCommands;
beforeAll(async () => {
  commands = await BuiltCommands.start();
  const dev = new SecretVault({
    url: commands.service.url,
    workspace: 'otmoic',
    environment: 'dev',
    appKey: commands.env['OLARES_SECRETS_APP_KEY'] ?? '',
    appSecret: commands.env['OLARES_SECRETS_APP_SECRET'] ?? '',
    userToken: commands.env['OLARES_SECRETS_USER_TOKEN'] ?? '',
  });
  await commands.vault.put('same', CANARY);
  await dev.put('same', CANARY);
  await commands.vault.put('changed', `${CANARY}1`);
  await dev.put('changed', `${CANARY}2\n`);
  await commands.vault.put('removed', CANARY);
  await dev.put('added', CANARY);
});
afterAll(() => commands.close());

describe('diff', () => {
  it('names what is added, removed and changed in another environment, without values, and exits with 1', async () => {
    expect(await commands.run(['diff', '--to-env', 'dev'])).toEqual({
      status: 1,
      stdout: '+ added\n~ changed\n- removed\n',
      stderr: '',
    });
    const { stdout } = await commands.run(['diff', '--to-env', 'dev', '--json']);
    expect(JSON.parse(stdout)).toEqual({ added: ['added'], removed: ['removed'], changed: ['changed'] });
  });

  it('shows the values where they are asked for', async () => {
    const { stdout } = await commands.run(['diff', '--to-env', 'dev', '--reveal']);
    expect(stdout).toBe(
      `+ added\t"${CANARY}"\n~ changed\t"${CANARY}1" → "${CANARY}2\\n"\n- removed\t"${CANARY}"\n`,
    );
  });

  it('compares with a file, and exits with 0 where nothing differs', async () => {
    writeFileSync(join(commands.dir, 'same.env'), `same=${CANARY}\nchanged=${CANARY}1\nremoved=${CANARY}\n`);
    expect(await commands.run(['diff', 'same.env'])).toEqual({ status: 0, stdout: '', stderr: '' });
    writeFileSync(join(commands.dir, 'other.json'), JSON.stringify({ same: 'x', added: CANARY }));
    const { status, stdout } = await commands.run(['diff', 'other.json']);
    expect([status, stdout]).toEqual([1, '+ added\n- changed\n- removed\n~ same\n']);
    renameSync(join(commands.dir, 'other.json'), join(commands.dir, 'OTHER.JSON'));
    expect(await commands.run(['diff', 'OTHER.JSON'])).toEqual({ status, stdout, stderr: '' });
  });

  it.each([
    ['nothing to compare with', []],
    ['a file and an environment', ['same.env', '--to-env', 'dev']],
    ['standard input of a form that is not stated', ['-']],
    ['a file whose name does not tell its form', ['secrets']],
    ['an archive', ['same.age']],
    ['an environment with itself', ['--to-env', 'prod']],
  ])('exits with 2 for %s', async (_, args) => {
    expect(await commands.run(['diff', ...args])).toMatchObject({ status: 2, stdout: '' });
  });
});
