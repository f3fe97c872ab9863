import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LogDestination } from '../../src/logging/log';
import { eventually } from '../support/eventually';

const LINE = `${'x'.repeat(999)}\n`;

describe('LogDestination', () => {
  const dir = mkdtempSync(join(tmpdir(), 'log-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  let reader: ChildProcess;
  let fd: number;
  const dropped: number[] = [];
  let destination: LogDestination;
  /**
   * The pipe has a name, so that its descriptor is ours alone: Node closes that of a child's input once the child has ended,
   * and its number may then be that of something else while we still write to it.
   */
  const readerOf = async (command: string): Promise<void> => {
    const fifo = join(dir, command.replace(/\W/g, ''));
    spawnSync('mkfifo', [fifo]);
    reader = spawn('sh', ['-c', `exec < ${fifo}; ${command}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    await eventually(() => {
      fd = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    });
    dropped.length = 0;
    destination = new LogDestination(fd, (lines) => dropped.push(lines));
  };
  afterEach(async () => {
    reader.kill('SIGKILL');
    if (reader.exitCode === null && reader.signalCode === null) await once(reader, 'exit');
  });
  const write = (count: number): number => {
    const beganMs = performance.now();
    for (let at = 0; at < count; at += 1) destination.lines.write(LINE);
    return performance.now() - beganMs;
  };

  it('does not stop the process when the reader is slow, and buffers the lines', async () => {
    await readerOf('read go; wc -c');
    const tookMs = write(900);
    // Left to itself, pino waits 100 ms for each line that finds the pipe full.
    expect(tookMs).toBeLessThan(2_000);
    let counted = '';
    reader.stdout?.on('data', (chunk: Buffer) => (counted += chunk.toString()));
    await pause(1_000);
    closeSync(fd);
    // The first line is what the reader waited for.
    await eventually(() => expect(Number(counted)).toBe(899 * LINE.length));
    expect(dropped).toEqual([]);
  });

  it('drops lines beyond a megabyte and reports their number once the reader has caught up', async () => {
    await readerOf('sleep 1; cat > /dev/null');
    expect(write(5_000)).toBeLessThan(2_000);
    await eventually(() => {
      destination.lines.write(LINE);
      expect(dropped).toHaveLength(1);
    }, 10_000);
    expect(dropped[0]).toBeGreaterThan(3_000);
  });

  it('does not end the process when its reader is gone', async () => {
    await readerOf('read go');
    write(1);
    await once(reader, 'exit');
    write(100);
    await pause(100);
    write(100);
  });
});
