import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';

const ROOT = resolve(__dirname, '../..');
const ESCAPE = '\u001b';

describeWith('pseudo-terminal', 'npm start on a terminal', () => {
  let dir: string;
  beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'terminal-'))));
  afterAll(() => rmSync(dir, { recursive: true }));

  /** What is on the screen once the banner is, until Ctrl-C ends the service. */
  async function screen(env: Readonly<Record<string, string>> = {}) {
    const command = `exec '${process.execPath}' dist/main.js`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', DATA_DIR: dir, PORT: '0', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((end) => child.once('close', end));
    try {
      await eventually(() => expect(output).toContain('Ctrl-C stops the service.\r\n'), 20_000);
    } finally {
      child.stdin.write('\u0003');
    }
    const banner = output;
    const code = await ended;
    return { code, lines: banner.trimEnd().split('\r\n'), all: output };
  }

  it('says first that it starts and last what to paste, and between the two logs for people, in colours', async () => {
    const { code, lines, all } = await screen();
    expect(lines[0]).toMatch(
      /^olares-secret-provider is starting on Node [\d.]+\. LOG_FORMAT=json logs as in production\.$/,
    );
    expect(lines.at(-1)).toBe(
      'Or let `npm run smoke-test` walk the same calls and check each answer. Ctrl-C stops the service.',
    );
    expect(lines.slice(-8, -2).every((line) => line.startsWith('curl '))).toBe(true);
    const log = lines.filter((line) => line.startsWith('['));
    expect(log.length).toBeLessThan(8);
    expect(log.some((line) => line.includes(`${ESCAPE}[32mINFO${ESCAPE}[39m: ${ESCAPE}[36mlistening`))).toBe(
      true,
    );
    expect(all).not.toMatch(/Mapped|RouterExplorer|"level"/);
    expect([code, /stopped/.test(all.split('\r\n').at(-2) ?? '')]).toEqual([0, true]);
    const tokens = readFileSync(join(dir, 'development/headers'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(': ')[1] ?? '');
    for (const token of tokens) expect([token.length > 40, all.includes(token)]).toEqual([true, false]);
  });

  it('has no colours with NO_COLOR, and tells of routes at debug', async () => {
    const { all } = await screen({ NO_COLOR: '1', LOG_LEVEL: 'debug' });
    expect(all).not.toContain(ESCAPE);
    expect(all).toMatch(/DEBUG: framework_message .*"text":"Mapped {\/RetrieveSecret, POST} route"/);
  });

  it('logs JSON with LOG_FORMAT=json, and the banner is still last', async () => {
    const { lines } = await screen({ LOG_FORMAT: 'json' });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', msg: 'grants_read' });
    expect(lines.at(-1)).toContain('Ctrl-C stops the service.');
  });
});
