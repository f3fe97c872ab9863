import { UsageError } from '../../src/errors/operator-errors';
import { CommandFailure } from '../../src/cli/console';
import { secretVariables } from '../../src/cli/secret-variables';

const NO_VARIABLES = {};
const variablesOf = (
  names: readonly string[],
  naming = {},
  inherited: Readonly<Record<string, string>> = NO_VARIABLES,
) => secretVariables(new Map(names.map((name) => [name, 'v'])), naming, inherited);

describe('the variables that secrets become', () => {
  it.each([
    ['db-password', 'DB_PASSWORD'],
    ['db.password', 'DB_PASSWORD'],
    ['Api/Key:1', 'API_KEY_1'],
    ['2fa', '_2FA'],
    ['straße', 'STRA_E'],
    ['\u{1f511}', '_'],
    ['a b', 'A_B'],
    ['already_UPPER', 'ALREADY_UPPER'],
  ])('%s becomes %s', (name, variable) => {
    expect(variablesOf([name])).toEqual({ [variable]: 'v' });
  });

  it('begin with the prefix, which makes a digit no beginning', () => {
    expect(variablesOf(['2fa', 'path'], { prefix: 'app_' })).toEqual({ app_2FA: 'v', app_PATH: 'v' });
    for (const prefix of ['1', 'A-', 'A=', 'Ä'])
      expect(() => variablesOf(['a'], { prefix })).toThrow(UsageError);
  });

  it('are refused where two secrets would be one, naming both', () => {
    expect(() => variablesOf(['a-b', 'c', 'a.b'])).toThrow(
      'The secrets a-b and a.b would both be the variable A_B: --prefix or --only avoids it.',
    );
  });

  it.each([
    ...[
      'path',
      'ld-preload',
      'ld-library.path',
      'node-options',
      'bash.env',
      'pythonpath',
      'perl5opt',
      'git-ssh-command',
    ],
    ...[
      'java-tool-options',
      'npm-config-registry',
      'dyld_insert_libraries',
      'olares-secrets-url',
      'https-proxy',
      'ps4',
      'zdotdir',
      'sslkeylogfile',
      'git-ssl-no-verify',
      'makeflags',
      'node-compile-cache',
      'java-opts',
    ],
  ])('are refused where they would decide what a program does: %s', (name) => {
    expect(() => variablesOf([name], { override: true })).toThrow(CommandFailure);
    expect(() => variablesOf([name], { prefix: 'APP_' })).not.toThrow();
  });

  it('replace no variable that is set, but with --override', () => {
    expect(() => variablesOf(['token'], {}, { TOKEN: '' })).toThrow('which is set');
    expect(variablesOf(['token'], { override: true }, { TOKEN: '' })).toEqual({ TOKEN: 'v' });
    expect(variablesOf(['git-token', 'constructor'])).toEqual({ GIT_TOKEN: 'v', CONSTRUCTOR: 'v' });
  });

  it('are as long as the system takes them', () => {
    const secret = (length: number) => new Map([['a', 'x'.repeat(length)]]);
    expect(() => secretVariables(secret(131_069), {}, {})).not.toThrow();
    expect(() => secretVariables(secret(131_070), {}, {})).toThrow('too long for an environment variable');
  });
});
