import { StoreClient } from '../support/store-client';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedSecretStore } from '../../src/stores/embedded/embedded.secret-store';
import { ChildService } from '../support/child-service';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { httpCall } from '../support/http-call';
import { kubeconfigOf } from '../support/kubeconfig';
import { podToken } from '../support/service-account-tokens';

const WORKSPACES = 400;
const SENDER = { namespace: 'os-framework', name: 'system-server' };
const KEY = Buffer.from('m'.repeat(32));
const at = (user: string, workspace: string) => ({ user, workspace, environment: 'prod' }) as const;

/** The built process in a cluster: who may tell of users is known by TokenReviews and by the addresses of pods. */
describe('the removal of a deleted user', () => {
  let dir: string;
  let server: FakeApiServer;
  let service: ChildService;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'removal-'));
    server = await FakeApiServer.start();
    await withStore(async (store) => {
      for (let one = 0; one < WORKSPACES; one++)
        await store.create(at('alice', `w${one}`), { name: 'k', value: 'canary-value' });
      await store.create(at('bob', 'w'), { name: 'k', value: 'v' });
    });
    service = await start();
  }, 60_000);
  afterEach(async () => {
    await service.end();
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  const withStore = async <T>(work: (store: StoreClient) => Promise<T>): Promise<T> => {
    const store = new StoreClient(
      await EmbeddedSecretStore.open({ dataDir: join(dir, 'data'), masterKey: KEY }),
    );
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  };
  const start = () =>
    ChildService.start({
      NODE_ENV: 'production',
      PORT: '0',
      GRANTS_SOURCE: 'kubernetes',
      KUBECONFIG: kubeconfigOf(server, dir),
      SYSTEM_EVENT_SERVICE_ACCOUNTS: `${SENDER.namespace}:${SENDER.name}`,
      DATA_DIR: join(dir, 'data'),
      MASTER_KEY: KEY.toString('utf8'),
      ACCESS_TOKEN_KEY: 'a'.repeat(64),
      USER_TOKEN_SECRET: 'u'.repeat(64),
    });
  const deleted = async (headers: Record<string, string> = {}, from?: string) =>
    httpCall(`http://127.0.0.1:${service.ports.main}/user/delete`, {
      body: { name: 'alice', email: '' },
      headers,
      ...(from !== undefined && { from }),
    });
  const bearer = (change: { namespace?: string; name?: string; audience?: string } = {}) => ({
    authorization: `Bearer ${podToken(server, { ...SENDER, expiresAtMs: Date.now() + 3_600_000, ...change })}`,
  });
  const left = () => withStore(async (store) => (await store.workspacesOf('alice')).length);

  it('that a kill -9 interrupts is finished by the next process', async () => {
    expect((await deleted(bearer())).status).toBe(200);
    await service.logs('user_removal_progress');
    process.kill(service.pid ?? 0, 'SIGKILL');
    await service.end();
    expect(service.lines('user_removal_done')).toEqual([]);
    const afterKill = await left();
    expect(afterKill).toBeGreaterThan(0);
    expect(afterKill).toBeLessThan(WORKSPACES);

    service = await start();
    await service.logs('user_removal_done');
    await service.end();
    expect(await left()).toBe(0);
    await withStore(async (store) => expect(await store.list(at('bob', 'w'))).toHaveLength(1));
    expect(service.output).not.toContain('canary');
  }, 60_000);

  it('is begun for nobody but a proven pod of the sender', async () => {
    const forged = podToken(server, { ...SENDER, expiresAtMs: Date.now() + 3_600_000 });
    server.tokens.delete(forged);
    for (const headers of [
      {},
      { authorization: `Bearer ${forged}` },
      bearer({ audience: 'https://kubernetes.default.svc' }),
      bearer({ name: 'default' }),
      bearer({ namespace: 'user-system-alice' }),
      { ...bearer(), 'x-forwarded-for': '127.0.0.1' },
    ])
      expect((await deleted(headers)).status).toBe(401);
    expect(service.lines('user_removal_started')).toEqual([]);

    server.of('pods').put({
      metadata: { name: 'pod', namespace: SENDER.namespace },
      spec: { serviceAccountName: SENDER.name },
      status: { phase: 'Running', podIPs: [{ ip: '127.0.0.2' }] },
    });
    server.of('namespaces').put({ metadata: { name: 'user-system-alice' } });
    await proven('127.0.0.2');
    expect((await deleted({}, '127.0.0.3')).status).toBe(401);
    await service.logs('user_removal_held');
    server.of('namespaces').delete(undefined, 'user-system-alice');
    await service.logs('user_removal_done');
  }, 60_000);

  /** Until the pod was seen by the watch. */
  async function proven(from: string): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      if ((await deleted({}, from)).status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('the pod is not known');
  }
});
