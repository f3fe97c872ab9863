import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const SCRIPT = join(ROOT, 'scripts/assurance.mjs');
const forms = execFileSync(process.execPath, [SCRIPT, '--list'], { cwd: ROOT, encoding: 'utf8' })
  .trim()
  .split('\n')
  .map((line) => line.split('\t'))
  .map(([name = '', command = '', shows = '']) => ({ name, command, shows }));
const scriptOf = (command: string): string => command.split(' ')[2] ?? '';
const page = readFileSync(join(ROOT, 'docs/assurance.md'), 'utf8');

describe('docs/assurance.md', () => {
  it('lists each long form with its command and what it shows', () => {
    const rows = forms.map(({ name, command, shows }) => `| ${name} | \`${command}\` | ${shows} |`);
    expect(page.split('\n').filter((line) => /^\| \w+ \| `npm run /.test(line))).toEqual(rows);
  });

  it('names forms that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    for (const { command } of forms) expect(scripts).toHaveProperty([scriptOf(command)]);
  });

  it('has each figure with the day and the commit of its run', () => {
    const figures = page
      .slice(page.indexOf('<!-- figures'))
      .split('\n')
      .slice(4)
      .filter(Boolean)
      .slice(0, -1);
    for (const figure of figures) {
      expect(figure).toMatch(/^\| \w+ \| .+ \| .+ \| \d{4}-\d\d-\d\d \| [0-9a-f]{7,}( and changes)? \|$/);
      expect(forms.map(({ name }) => name)).toContain(figure.split(' | ')[0]?.slice(2));
    }
  });
});

describe('npm run assurance', () => {
  const dir = mkdtempSync(join(tmpdir(), 'assurance-'));
  const [first, second] = forms
    .filter(
      ({ command }, at) => forms.findIndex((form) => scriptOf(form.command) === scriptOf(command)) === at,
    )
    .map(({ name, command }) => ({ name, script: scriptOf(command) })) as [Form, Form];
  interface Form {
    readonly name: string;
    readonly script: string;
  }
  const written = (): readonly string[] =>
    readFileSync(join(dir, 'docs/assurance.md'), 'utf8')
      .split('\n')
      .filter((line) => /^\| \w+ \| .* \| \d{4}-/.test(line))
      .map((line) => line.replace(/\d{4}-\d\d-\d\d/, 'DAY').replace(/[0-9a-f]{7,}/, 'COMMIT'));
  /** Runs forms that print what these scripts print. */
  const assurance = (scripts: Readonly<Record<string, string>>, ...args: readonly string[]) => {
    writeFileSync(join(dir, 'package.json'), JSON.stringify({ scripts }));
    for (const [name, text] of Object.entries(scripts)) writeFileSync(join(dir, 'forms', name), text);
    const env = { PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}` };
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
      cwd: dir,
      env,
      encoding: 'utf8',
    });
    return { status, stderr };
  };

  beforeAll(() => {
    for (const folder of ['docs', 'forms', 'bin']) mkdirSync(join(dir, folder));
    // npm as far as it runs a script, and git as far as it is asked: not every machine has git.
    const tool = (name: string, text: string) =>
      writeFileSync(join(dir, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    tool('npm', 'exec sh "forms/$2"');
    tool('git', 'case "$1" in rev-parse) echo abc1234 ;; status) cat changed 2> /dev/null ;; esac; exit 0');
    const [before, after] = [page.indexOf('<!-- figures'), page.indexOf('<!-- end')];
    const [marker] = page.slice(before).split('\n');
    writeFileSync(
      join(dir, 'docs/assurance.md'),
      `${page.slice(0, before)}${marker}\n\n${page.slice(after)}`,
    );
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it('writes the figures of the forms that it runs, and keeps those of the others', () => {
    const both = {
      [first.script]: 'echo "of no interest"; echo "figure: cases = 1,000 | of 2"; echo "figure: faults = 0"',
      [second.script]: 'echo "figure: score = 93.1 % of 400"',
    };
    expect(assurance(both, first.name, second.name)).toEqual({ status: 0, stderr: '' });
    const rows = [
      `| ${first.name} | cases | 1,000 \\| of 2 | DAY | COMMIT |`,
      `| ${first.name} | faults | 0 | DAY | COMMIT |`,
      `| ${second.name} | score | 93.1 % of 400 | DAY | COMMIT |`,
    ];
    expect(written()).toEqual(rows);
    expect(assurance({ ...both, [first.script]: 'echo "figure: cases = 7"' }, first.name).status).toBe(0);
    expect(written()).toEqual([`| ${first.name} | cases | 7 | DAY | COMMIT |`, rows[2]]);
  });

  it('says in the row that the checkout was not the commit', () => {
    const script = 'echo " M src/main.ts" > changed; echo "figure: cases = 8"';
    expect(assurance({ [first.script]: script }, first.name).status).toBe(0);
    expect(written()[0]).toBe(`| ${first.name} | cases | 8 | DAY | COMMIT and changes |`);
  });

  it('keeps the earlier figures of a form that fails, prints none or is not there, and ends with 1', () => {
    const before = written();
    for (const script of ['echo "figure: cases = 9"; exit 3', 'echo nothing', undefined]) {
      const { status, stderr } = assurance(
        script === undefined ? {} : { [first.script]: script },
        first.name,
      );
      expect([status, stderr]).toEqual([1, `No figures of: ${first.name}. Their earlier ones stay.\n`]);
      expect(written()).toEqual(before);
    }
  });

  it('runs nothing where it is asked for a form that there is not', () => {
    expect(assurance({}, 'nonsense').status).toBe(2);
  });
});
