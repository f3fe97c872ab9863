import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChildService } from '../support/child-service';
import { httpCall } from '../support/http-call';
import { listeningPorts } from '../support/listening-ports';

describe('SIGUSR1, at which Node by itself opens its inspector', () => {
  const dir = mkdtempSync(join(tmpdir(), 'inspector-'));
  let service: ChildService;
  beforeAll(async () => (service = await ChildService.start({ DATA_DIR: dir, PORT: '0' })));
  afterAll(async () => {
    await service.end();
    rmSync(dir, { recursive: true });
  });

  it('opens no port, is logged once however often it comes, and the service goes on', async () => {
    const pid = service.pid ?? 0;
    const before = listeningPorts(pid);
    expect(before).toEqual([service.ports.main]);
    for (let times = 0; times < 3; times += 1) {
      process.kill(pid, 'SIGUSR1');
      expect((await httpCall(`http://127.0.0.1:${before[0]}/livez`, { method: 'GET' })).status).toBe(200);
    }
    await service.logs('inspector_signal_ignored');
    expect(listeningPorts(pid)).toEqual(before);
    expect(await service.end()).toBe(0);
    expect(service.output).not.toContain('Debugger');
    expect(service.lines('inspector_signal_ignored')).toHaveLength(1);
  });
});
