import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeWith, pythonWithBcrypt } from '../support/describe-with';
import { eventually } from '../support/eventually';

const ROOT = resolve(__dirname, '../..');

interface Block {
  /** 1 is the terminal of the gateway. */
  readonly terminal: 1 | 2;
  /** Whether Ctrl-C is pressed there first. */
  readonly isAfterCtrlC: boolean;
  /** `sh` is run; a block without a language is what was printed. */
  readonly language: string;
  readonly text: string;
}

/** A comment before a block says that it is of terminal 1. */
const BLOCK = /^(?:<!-- terminal 1(: Ctrl-C)? -->\n\n)?```(\w*)\n([^]*?)^```$/gm;

function blocksOf(markdown: string): readonly Block[] {
  return [...markdown.matchAll(BLOCK)].map(([whole, ctrlC, language = '', text = '']) => ({
    terminal: whole.startsWith('<!-- terminal 1') ? 1 : 2,
    isAfterCtrlC: ctrlC !== undefined,
    language,
    text,
  }));
}

/** A line with `…` alone stands for any lines, and `…` within a line for any characters of it. */
function patternOf(text: string): string {
  const lines = text.trimEnd().split('\n');
  const patterns = lines.map((line) =>
    line === '…' ? '(?:.*\n)*?' : `${line.split('…').map(escaped).join('.*')}\n`,
  );
  return patterns.join('');
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/** With the page's port, and without the empty lines between which the log has lines. */
function comparable(printed: string): string {
  return printed.replace(/(?<=http:\/\/127\.0\.0\.1:)\d+/g, '8080').replace(/\n{3,}/g, '\n\n');
}

/** What the reader has, but for the registry and the port: another test runs beside this one. */
const PROGRAMS: Readonly<Record<string, string>> = {
  npm: '#!/bin/sh\ncase "$*" in ci | "run build" | "run build --prefix client") ;; *) exit 1 ;; esac\n',
  npx: `#!/bin/sh
[ "$1" = olares-secrets ] && shift || exit 1
[ "$1" = dev ] && shift && set -- dev --port 0 "$@"
exec '${process.execPath}' dist/cli/olares-secrets.js "$@"
`,
  python3: `#!/bin/sh\nexec '${pythonWithBcrypt() ?? ''}' "$@"\n`,
};

describeWith('python3-bcrypt', 'docs/tutorial.md', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tutorial-'));
  const terminals: Terminal[] = [];
  const open = (command: string, args: readonly string[]): Terminal => {
    const terminal = new Terminal(command, args, dir);
    terminals.push(terminal);
    return terminal;
  };

  beforeAll(() => {
    for (const name of ['client', 'dist', 'examples', 'node_modules', 'package.json'])
      symlinkSync(join(ROOT, name), join(dir, name));
    for (const name of ['bin', 'home']) mkdirSync(join(dir, name));
    for (const [name, text] of Object.entries(PROGRAMS))
      writeFileSync(join(dir, 'bin', name), text, { mode: 0o755 });
  });
  afterAll(async () => {
    await Promise.all(terminals.map((terminal) => terminal.end('SIGKILL')));
    rmSync(dir, { recursive: true });
  });

  it('prints what it says where its commands are run in their order', async () => {
    const blocks = blocksOf(readFileSync(join(ROOT, 'docs/tutorial.md'), 'utf8'));
    const shell = open('bash', []);
    let gateway: Terminal | undefined;
    let ran = 0;
    for (const [at, { terminal, isAfterCtrlC, language, text }] of blocks.entries()) {
      if (language === 'sh' && terminal === 1) gateway = open('bash', ['-c', `exec ${text}`]);
      else if (language === 'sh') {
        const said = await shell.run(text);
        const next = blocks[at + 1];
        const prints = next?.language === '' && next.terminal === 2 ? next.text : '';
        const isAsPrinted = new RegExp(`^${prints === '' ? '' : patternOf(prints)}$`).test(said);
        expect({ text, said: isAsPrinted ? prints : said }).toEqual({ text, said: prints });
        ran += 1;
      } else if (terminal === 1) {
        if (isAfterCtrlC) await gateway?.end('SIGINT');
        await gateway?.shows(text);
      }
    }
    expect([ran > 5, gateway === undefined]).toEqual([true, false]);
  }, 180_000);

  it('says of each block whether it is a command or its output', () => {
    const text = readFileSync(join(ROOT, 'docs/tutorial.md'), 'utf8');
    const languages = new Set(blocksOf(text).map(({ language }) => language));
    expect([...languages].sort()).toEqual(['', 'sh']);
    expect(blocksOf(text).length).toBe((text.match(/^ *```/gm) ?? []).length / 2);
  });
});

/** A shell that keeps its folder and its variables from one command to the next; what it prints is in the order in which it came. */
class Terminal {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #printed = '';

  constructor(command: string, args: readonly string[], cwd: string) {
    const env = {
      PATH: `${join(cwd, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: join(cwd, 'home'),
      LANG: 'C.UTF-8',
      PYTHONDONTWRITEBYTECODE: '1',
    };
    // The log of the gateway is on standard output, and is not shown.
    const isShell = args.length === 0;
    this.#child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stderr, ...(isShell ? [this.#child.stdout] : [])])
      stream?.on('data', (chunk: Buffer) => (this.#printed += chunk.toString()));
    if (!isShell) this.#child.stdout?.resume();
    this.#ended = new Promise((end) => this.#child.once('close', () => end()));
  }

  /** Returns what the commands print, with one newline at the end of what has none. */
  async run(commands: string): Promise<string> {
    const mark = '-- end of block --';
    this.#printed = '';
    // Their standard input is that of the shell, which is where the next commands come from.
    this.#child.stdin?.write(`{ ${commands}\n} 2>&1 < /dev/null\necho; echo '${mark}'\n`);
    await eventually(() => {
      if (!this.#printed.endsWith(`\n${mark}\n`)) throw new Error(`It has not ended: ${this.#printed}`);
    }, 60_000);
    const said = comparable(this.#printed.slice(0, -`\n${mark}\n`.length));
    return said === '' || said.endsWith('\n') ? said : `${said}\n`;
  }

  /** Waits until it has printed the text, and forgets what came before its end. */
  async shows(text: string): Promise<void> {
    const pattern = new RegExp(`^${patternOf(text)}`, 'm');
    await eventually(() => {
      const printed = comparable(this.#printed);
      const match = pattern.exec(printed);
      if (match === null) throw new Error(`It has not printed\n${text}\nbut\n${printed}`);
      this.#printed = printed.slice(match.index + match[0].length);
    }, 60_000);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }
}
