import { UNATTENDED } from '../../src/secrets/secret';
import { SecretStore } from '../../src/secrets/secret-store';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listenForMetrics } from '../../src/bootstrap/application';
import type { Settings } from '../../src/config/settings';
import { eventually } from '../support/eventually';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { valueIn } from '../support/observed-service';
import { startService, TEST_SETTINGS } from '../support/service';

const dir = mkdtempSync(join(tmpdir(), 'dependencies-'));
const grantsDir = join(dir, 'apps');
mkdirSync(grantsDir);
afterAll(() => rmSync(dir, { recursive: true }));

/** The service with the adapters that these settings choose, and what it tells of itself. */
async function served(settings: Partial<Settings>) {
  const all: Settings = {
    ...TEST_SETTINGS,
    grants: { kind: 'directory', dir: grantsDir },
    metrics: { host: '127.0.0.1', port: 0 },
    ...settings,
  };
  const service = await startService({}, all);
  const metricsPort = await listenForMetrics(service.app);
  const get = (url: string) => httpCall(url, { method: 'GET' });
  return {
    logged: () => service.logLines(),
    store: service.app.get(SecretStore),
    ready: async () => (await get(`${service.url}/readyz`)).body,
    metric: async (series: string) =>
      valueIn((await get(`http://127.0.0.1:${metricsPort}/metrics`)).text, series),
    close: () => service.close(),
  };
}

describe('a dependency that fails is named in the log, in readiness and in the metrics', () => {
  it('LLDAP, while readiness stays 200 for callers that do not need it', async () => {
    const store = {
      kind: 'embedded',
      dataDir: join(dir, 'data'),
      maxDiskReserveBytes: 0,
      masterKey: Buffer.alloc(32, 1),
    } as const;
    const nobody = await FakeInfisical.start({ apiVersion: 'v3' });
    const userToken = { ...TEST_SETTINGS.userToken, lldapUrl: nobody.url };
    await nobody.close();
    const service = await served({ store, userToken });
    try {
      await eventually(() =>
        expect(service.logged()).toContainEqual(
          expect.objectContaining({ msg: 'dependency_lost', dependency: 'lldap' }),
        ),
      );
      const { code, data } = await service.ready();
      expect([code, data.problems]).toEqual([
        200,
        [expect.stringMatching(/^LLDAP does not answer \(ECONNREFUSED\): /)],
      ]);
      expect(await service.metric('osp_dependency_up{dependency="lldap"}')).toBe(0);
    } finally {
      await service.close();
    }
  });

  it('Infisical, also while the cache answers and readiness is 200', async () => {
    const fake = await FakeInfisical.start({ apiVersion: 'v3' });
    const { clientId, clientSecret } = fake.identity;
    const cache = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 10, maxBytes: 1_000_000 };
    const credentials = { url: fake.url, clientId, clientSecret };
    const service = await served({
      store: { kind: 'infisical', ...credentials, timeoutMs: 1_000, cache },
    });
    try {
      expect((await service.ready()).data).toMatchObject({ store: 'ok', problems: [] });
      const scope = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
      expect(await service.store.list(scope, UNATTENDED)).toEqual({ secrets: [] });
      await fake.close();
      const said =
        'Infisical does not answer. What was read lately is served from memory, all else is refused.';
      // What was asked of Infisical is believed for five seconds.
      for (const untilMs = Date.now() + 8_000; Date.now() < untilMs;) {
        if ((await service.ready()).data.problems.length > 0) break;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      const { code, data } = await service.ready();
      expect([code, data.store, data.problems]).toEqual([200, 'ok', [said]]);
      expect(service.logged()).toContainEqual(
        expect.objectContaining({ msg: 'infisical_ping_failed', reason: 'unreachable' }),
      );
    } finally {
      await service.close();
    }
  }, 15_000);
});
