import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KNOWN_NODE_FLAGS } from '../image/recipe';
import { ChildService, type ChildServiceOptions } from '../support/child-service';
import { httpCall } from '../support/http-call';
import { listeningPorts } from '../support/listening-ports';

const dir = mkdtempSync(join(tmpdir(), 'inspector-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Sends SIGUSR1 three times, with a request behind each. */
async function signalled(options: ChildServiceOptions): Promise<ChildService> {
  const service = await ChildService.start({ DATA_DIR: dir, PORT: '0' }, options);
  const pid = service.pid ?? 0;
  const before = listeningPorts(pid);
  expect(before).toEqual([service.ports.main]);
  for (let times = 0; times < 3; times += 1) {
    process.kill(pid, 'SIGUSR1');
    expect((await httpCall(`http://127.0.0.1:${before[0]}/livez`, { method: 'GET' })).status).toBe(200);
  }
  if (options.nodeFlags !== undefined) await service.logs('inspector_signal_ignored');
  expect(listeningPorts(pid)).toEqual(before);
  expect(await service.end()).toBe(0);
  expect(service.output).not.toContain('Debugger');
  return service;
}

describe('SIGUSR1, at which Node by itself opens its inspector', () => {
  it('opens no port, is logged once however often it comes, and the service goes on', async () => {
    const service = await signalled({ nodeFlags: [] });
    expect(service.lines('inspector_signal_ignored')).toHaveLength(1);
  });

  it('opens no port with the flags of the image, where a Node that has --disable-sigusr1 drops the signal unseen', async () => {
    const service = await signalled({});
    const isDropped = KNOWN_NODE_FLAGS.includes('--disable-sigusr1');
    expect(service.lines('inspector_signal_ignored')).toHaveLength(isDropped ? 0 : 1);
  });
});
