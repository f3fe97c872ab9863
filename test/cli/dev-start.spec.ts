import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';

const ROOT = resolve(__dirname, '../..');

/** What the kernel says of a process; it counts time in ticks of 10 ms. */
function statOf(pid: string): { readonly parent: string; readonly workMs: number } {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return { parent: fields[1] ?? '', workMs: ticks * 10 };
  } catch {
    return { parent: '', workMs: 0 };
  }
}

/** User and system time of a process and all that it started. */
function workMsOf(pid: string): number {
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name).parent === pid);
  return statOf(pid).workMs + children.reduce((sum, child) => sum + workMsOf(child), 0);
}

describe('npx olares-secrets dev', () => {
  it('answers its first call after few seconds of its own work, npx included', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'dev-start-'));
    const args = [
      '--manifest',
      'examples/charts/notes/OlaresManifest.yaml',
      '--port',
      '0',
      '--data-dir',
      dir,
    ];
    const child = spawn('npx', ['olares-secrets', 'dev', ...args], {
      cwd: ROOT,
      stdio: 'ignore',
      detached: true,
    });
    const ended = new Promise((end) => child.once('close', end));
    try {
      await eventually(() => expect(existsSync(join(dir, 'headers'))).toBe(true));
      const lines = readFileSync(join(dir, 'headers'), 'utf8').trim().split('\n');
      const headers = Object.fromEntries(lines.map((line) => line.split(': ') as [string, string]));
      const url = /URL='(.*)'/.exec(readFileSync(join(dir, 'env'), 'utf8'))?.[1];
      const { status } = await httpCall(`${url}/ListSecret?workspace=notes`, { headers, body: {} });
      // Processor time, since other processes may share these cores: alone, it takes no longer than its own work, which is 3 to 4 s.
      const workMs = workMsOf(String(child.pid));
      expect([status, workMs > 500, workMs < 8_000]).toEqual([200, true, true]);
      process.stdout.write(`figure: first answer of npx olares-secrets dev = ${workMs} ms of work\n`);
    } finally {
      // npx passes no signal on that it gets alone; Ctrl-C reaches the whole group.
      process.kill(-(child.pid ?? 0), 'SIGINT');
      await ended;
      rmSync(dir, { recursive: true });
    }
  });
});
