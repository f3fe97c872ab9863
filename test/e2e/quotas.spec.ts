import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../../src/config/settings';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { OTMOICLP } from '../support/example-apps';
import { httpCall, type Answer } from '../support/http-call';
import { startService, type Service } from '../support/service';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

/** The service as its settings put it together, on the embedded store. */
describe('a workspace that is full', () => {
  const apps = new GrantsFolder([OTMOICLP]);
  const dataDir = mkdtempSync(join(tmpdir(), 'quotas-'));
  let service: Service;

  beforeAll(async () => {
    const settings = loadSettings({
      GRANTS_DIR: apps.dir,
      DATA_DIR: dataDir,
      MASTER_KEY: 'm'.repeat(32),
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      METRICS_PORT: '0',
      SETTINGS_ROUTES: 'user-token',
      QUOTA_WORKSPACE_SECRETS: '3',
      QUOTA_WORKSPACE_MIB: '1',
    });
    service = await startService({}, settings);
  });
  afterAll(async () => {
    await service.close();
    apps.dispose();
    rmSync(dataDir, { recursive: true });
  });

  const headers = async (): Promise<Record<string, string>> => ({
    'x-authorization': await userToken('alice', Date.now()),
    'x-access-token': await accessToken(OTMOICLP.app, 'alice', OTMOICLP.ops, Date.now()),
    'x-request-id': 'r1',
  });
  const call = async (operation: string, body: object): Promise<Answer> =>
    httpCall(`${service.url}/${operation}?workspace=otmoic`, { headers: await headers(), body });
  const inSettings = async (method: string, body: object): Promise<Answer> =>
    httpCall(`${service.url}/admin/secret/otmoiclp`, { method, headers: await headers(), body });
  const large = 'canary'.repeat(58_000);

  it('refuses with 507 the write that would exceed a limit and names the limit, and serves everything else', async () => {
    for (const name of ['a', 'b', 'c'])
      expect((await call('CreateSecret', { name, value: large })).status).toBe(200);
    const refused = await call('CreateSecret', { name: 'd', value: 'canary' });
    expect([refused.status, refused.body]).toEqual([
      507,
      {
        code: 507,
        message:
          'This workspace may hold no more secrets in this environment; delete some, or store smaller values.',
        data: { reason: 'QUOTA_EXCEEDED', requestId: 'r1', limit: 'workspace_secrets', max: 3, used: 3 },
      },
    ]);
    const grown = await call('UpdateSecret', { name: 'a', value: large + 'canary'.repeat(10_000) });
    expect(grown.body.data).toEqual({
      reason: 'QUOTA_EXCEEDED',
      requestId: 'r1',
      limit: 'workspace_bytes',
      max: 1_048_576,
      used: 1_044_003,
    });
    expect(service.log()).not.toContain('canary');
    expect((await call('ListSecret', {})).body.data).toHaveLength(3);
    expect((await call('UpdateSecret', { name: 'a', value: 'small' })).status).toBe(200);
    expect((await call('CreateSecret', { name: 'c', value: 'v', env: 'dev' })).status).toBe(200);
    expect((await call('DeleteSecret', { name: 'b' })).status).toBe(200);
    expect((await call('CreateSecret', { name: 'd', value: large })).status).toBe(200);
  });

  it('refuses the Settings app in the same way', async () => {
    for (const name of ['a', 'c', 'd']) await call('DeleteSecret', { name });
    for (const Key of ['a', 'b', 'c'])
      expect((await inSettings('POST', { Key, Value: large })).status).toBe(200);
    const refused = await inSettings('POST', { Key: 'd', Value: 'v' });
    expect([refused.status, refused.body.data.limit]).toEqual([507, 'workspace_secrets']);
    expect(
      (await inSettings('PUT', { Key: 'a', Value: large + 'canary'.repeat(10_000) })).body.data,
    ).toMatchObject({
      limit: 'workspace_bytes',
    });
    expect((await inSettings('PUT', { Key: 'a', Value: 'small' })).status).toBe(200);
  });
});
