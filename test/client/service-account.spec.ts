import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretVault } from '../../src/client/index';
import { ScriptedServer, type ScriptedAnswer } from './scripted-server';

const dir = mkdtempSync(join(tmpdir(), 'token-files-'));
const [ours, pods] = [join(dir, 'token'), join(dir, 'pod-token')];
afterAll(() => rmSync(dir, { recursive: true }));
const found: ScriptedAnswer = {
  status: 200,
  body: { code: 200, message: '', data: { name: 'k', value: 'v', env: 'prod' } },
};
const refused: ScriptedAnswer = {
  status: 401,
  body: { code: 401, message: '', data: { reason: 'UNAUTHENTICATED', requestId: 'r' } },
};

describe('a client with a ServiceAccount token', () => {
  beforeEach(() => {
    writeFileSync(ours, 'fake-token-1\n');
    writeFileSync(pods, 'fake-pod-token');
  });

  it("sends it as a bearer token, and behind a proxy without sidecar beside the pod's own", async () => {
    const server = await ScriptedServer.start([found]);
    await new SecretVault({ url: server.url, workspace: 'ws', serviceAccountTokenFile: ours }).retrieve('k');
    await new SecretVault({
      url: server.url,
      workspace: 'ws',
      serviceAccountTokenFile: ours,
      podTokenFile: pods,
    }).retrieve('k');
    expect(
      server.arrived.map(({ headers }) => [headers.authorization, headers['temp-authorization']]),
    ).toEqual([
      ['Bearer fake-token-1', undefined],
      ['Bearer fake-pod-token', 'Bearer fake-token-1'],
    ]);
    expect(server.tokens).toBe(0);
    await server.close();
  });

  it('reads the file anew where its token was refused, and gives up where the new one is refused too', async () => {
    const server = await ScriptedServer.start([found, refused, found, refused]);
    const vault = new SecretVault({ url: server.url, workspace: 'ws', serviceAccountTokenFile: ours });
    await vault.retrieve('k');
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    writeFileSync(ours, 'fake-token-2');
    expect(await vault.retrieve('k')).toBe('v');
    expect(server.arrived.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer fake-token-1',
      'Bearer fake-token-1',
      'Bearer fake-token-2',
    ]);
    await expect(vault.retrieve('k')).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
    await server.close();
  });

  it('sends nothing of a file that holds no token', async () => {
    writeFileSync(ours, 'two lines\nof text');
    const vault = new SecretVault({
      url: 'http://127.0.0.1:1',
      workspace: 'ws',
      serviceAccountTokenFile: ours,
    });
    await expect(vault.retrieve('k')).rejects.toThrow(`The file ${ours} holds no token.`);
  });

  it('says which file cannot be read', async () => {
    const vault = new SecretVault({
      url: 'http://127.0.0.1:1',
      workspace: 'ws',
      serviceAccountTokenFile: join(dir, 'none'),
    });
    await expect(vault.retrieve('k')).rejects.toThrow(`The token file ${join(dir, 'none')} cannot be read.`);
  });
});
