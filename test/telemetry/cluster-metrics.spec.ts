import { serviceMetrics, watchMetrics } from '../../src/telemetry/metric-observers';
import { Metrics } from '../../src/telemetry/metrics';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { deprovisioning } from '../../src/user-deprovisioning/user-deprovisioning.module';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { permissionOf } from '../support/application-permission';
import { openPermissions } from '../support/permission-feed';
import { eventually } from '../support/eventually';
import { EXAMPLE_APPS } from '../support/example-apps';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { StatedUsers } from '../support/stated-users';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';
import { valueIn } from '../support/observed-service';

const PERMISSIONS = '{resource="applicationpermissions"}';

describe('in a cluster, the metrics', () => {
  it('show the age of the grants and the state of each watch', async () => {
    const server = await FakeApiServer.start();
    for (const app of EXAMPLE_APPS) server.of('applicationpermissions').put(permissionOf(app, app.app));
    const time = new FixedMonotonicTime();
    const metrics = new Metrics();
    const deps = { ...informerDepsOf(server, time), watches: watchMetrics(metrics) };
    const grantSource = await openPermissions(deps);
    serviceMetrics(metrics, { store: new MemorySecretStore(), grantSource, userRemovalsPending: () => 0 });
    try {
      const at = async (series: string) => valueIn(await metrics.exposition(), series);
      expect(await at('osp_grants_apps')).toBe(3);
      expect(await at(`osp_watch_up${PERMISSIONS}`)).toBe(1);
      const before = (await at('osp_grants_age_seconds')) ?? NaN;
      time.advance(3_000);
      expect((await at('osp_grants_age_seconds')) ?? NaN).toBeCloseTo(before + 3, 3);
      expect((await at(`osp_watch_age_seconds${PERMISSIONS}`)) ?? NaN).toBeCloseTo(before + 3, 3);
      await server.stop();
      await eventually(() =>
        expect(deps.logged.map(({ event }) => event)).toContain('kubernetes_watch_failed'),
      );
      expect(await at(`osp_watch_up${PERMISSIONS}`)).toBe(0);
      expect(await at('osp_grants_apps')).toBe(3);
    } finally {
      await grantSource.close();
      await server.stop().catch(() => undefined);
    }
  });

  it('count the deleted users whose workspaces are not removed yet', async () => {
    const store = new MemorySecretStore();
    const scope = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
    await store.create(scope, { name: 'k', value: 'v' });
    const time = new FixedMonotonicTime();
    const clock = new FixedClock();
    const userDeprovisioning = deprovisioning({
      store,
      workspaces: store,
      jobStorage: new MemoryDeletionJobStorage(),
      clock,
      time,
      log: () => undefined,
      users: new StatedUsers(),
    });
    const remove = store.removeWorkspace.bind(store);
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    userDeprovisioning.onApplicationBootstrap();
    await userDeprovisioning.userDeleted('alice');
    expect(userDeprovisioning.pending).toBe(1);
    await eventually(() => expect(store.calls).toContain('workspacesOf alice'));
    expect(userDeprovisioning.pending).toBe(1);
    store.removeWorkspace = remove;
    await eventually(() => {
      time.advance(1_000);
      expect(userDeprovisioning.pending).toBe(0);
    });
    await userDeprovisioning.beforeApplicationShutdown();
    expect((await store.list(scope)).secrets).toEqual([]);
  });
});
