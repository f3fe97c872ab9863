import { execFileSync, spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { olaresSecretsProgram } from '../../src/cli/program';

const MAIN = resolve(__dirname, '../../dist/cli/olares-secrets.js');
const scriptFor = (shell: string) =>
  execFileSync(process.execPath, [MAIN, 'completion', shell], { encoding: 'utf8' });

describe('the completion of bash', () => {
  const script = scriptFor('bash');
  /** Returns what bash offers for the last of the words. */
  const offered = (...words: readonly string[]): readonly string[] => {
    const all = ['olares-secrets', ...words];
    const asked = [
      script,
      'COMP_WORDS=("$@")',
      `COMP_CWORD=${all.length - 1}`,
      '_olares_secrets',
      'printf "%s\\n" "${COMPREPLY[@]}"',
    ];
    const { stdout, stderr } = spawnSync('bash', ['-c', asked.join('\n'), 'bash', ...all], {
      encoding: 'utf8',
      cwd: '/',
    });
    expect(stderr).toBe('');
    return stdout.split('\n').filter(Boolean);
  };

  it('offers every command that there is', () => {
    const names = olaresSecretsProgram().commands.map((command) => command.name());
    expect(names.length).toBeGreaterThan(6);
    expect(offered('')).toEqual(expect.arrayContaining([...names, 'help', '--version']));
    expect(offered('comp')).toEqual(['completion']);
  });

  it('offers the options of the command, and the values that an option or an argument may have', () => {
    expect(offered('get', '--re')).toEqual(['--reveal']);
    expect(offered('list', '--env', '')).toEqual(['test', 'dev', 'staging', 'prod']);
    expect(offered('completion', 'f')).toEqual(['fish']);
    expect(offered('help', 'comp')).toEqual(['completion']);
    expect(offered('get', '--url', '')).toEqual([]);
    expect(offered('run', '--', '--o')).toEqual([]);
  });

  it('is registered for the program', () => {
    const registered = spawnSync('bash', ['-c', `${script}\ncomplete -p olares-secrets`], {
      encoding: 'utf8',
    });
    expect(registered.stdout).toContain('-F _olares_secrets olares-secrets');
  });
});

describe('the completion of zsh and fish', () => {
  it('names every command and option', () => {
    const [zsh, fish] = [scriptFor('zsh'), scriptFor('fish')];
    for (const command of olaresSecretsProgram().commands) {
      expect(zsh).toContain(`    ${command.name()}) _arguments`);
      expect(fish).toContain(`-f -a ${command.name()} -d`);
      for (const { long } of command.options) {
        expect(zsh).toContain(`'*${long}[`);
        expect(fish).toContain(`-l ${long?.slice(2)} `);
      }
    }
  });

  it('is refused for another shell', () => {
    const { status, stdout } = spawnSync(process.execPath, [MAIN, 'completion', 'tcsh'], {
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([2, '']);
  });
});
