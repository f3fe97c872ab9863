import { loadSettings } from '../../src/config/settings';
import { listenForMetrics } from '../../src/bootstrap/application';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import { httpCall, type Answer } from '../support/http-call';
import { startService, type Service } from '../support/service';
import { SmallDisk } from '../support/small-disk';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

/** The service as its settings put it together, on the embedded store. */
describeWith('small disk', 'a service whose disk is full', () => {
  const apps = new GrantsFolder([OTMOICLP]);
  let disk: SmallDisk;
  let service: Service;
  let storable: () => Promise<number>;

  beforeAll(async () => {
    disk = new SmallDisk(40);
    const settings = loadSettings({
      GRANTS_DIR: apps.dir,
      DATA_DIR: disk.path,
      MASTER_KEY: 'm'.repeat(32),
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      METRICS_PORT: '0',
      RATE_LIMIT_APP_WRITES: '0',
      RATE_LIMIT_USER_WRITES: '0',
      QUOTA_WORKSPACE_MIB: '0',
    });
    service = await startService({}, settings);
    const port = await listenForMetrics(service.app);
    storable = async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return Number(/^osp_disk_storable_bytes (\d+)$/m.exec(text)?.[1]);
    };
  });
  afterAll(async () => {
    await service.close();
    apps.dispose();
    disk.remove();
  });

  const call = async (operation: string, body: object): Promise<Answer> =>
    httpCall(`${service.url}/${operation}?workspace=otmoic`, {
      headers: {
        'x-authorization': await userToken('alice', Date.now()),
        'x-access-token': await accessToken(OTMOICLP.app, 'alice', OTMOICLP.ops, Date.now()),
      },
      body,
    });
  const readiness = () => httpCall(`${service.url}/readyz`, { method: 'GET' });

  it('answers 507 STORE_FULL to writes, reads and deletes, says so to its operator, and takes writes again', async () => {
    expect(await storable()).toBeGreaterThan(5 * 1024 * 1024);
    expect((await readiness()).body.data.problems).toEqual([]);
    const stored: string[] = [];
    let refusal: Answer | undefined;
    for (let n = 0; refusal === undefined; n++) {
      const answer = await call('CreateSecret', { name: `k${n}`, value: 'v'.repeat(500_000) });
      if (answer.status === 200) stored.push(`k${n}`);
      else refusal = answer;
    }
    expect(stored.length).toBeGreaterThan(5);
    expect([refusal.status, refusal.body.code, refusal.body.data.reason]).toEqual([507, 507, 'STORE_FULL']);
    // Somebody else takes the rest, so that nothing that LevelDB gives back makes room.
    disk.fill();
    // A measurement of the disk is believed for a second.
    await eventually(async () => {
      const { status, body } = await readiness();
      expect([status, body.data.problems]).toEqual([200, [expect.stringMatching(/disk .* nearly full/)]]);
    });
    expect((await call('UpdateSecret', { name: 'k0', value: 'v'.repeat(500_000) })).body.data.reason).toBe(
      'STORE_FULL',
    );
    expect(await storable()).toBe(0);
    for (const name of stored) {
      expect((await call('RetrieveSecret', { name })).status).toBe(200);
      expect((await call('DeleteSecret', { name })).status).toBe(200);
    }
    disk.clear();
    await eventually(async () => {
      expect((await call('CreateSecret', { name: 'again', value: 'v' })).status).toBe(200);
    });
    // Space is given back until the disk is not nearly full any more, whether or not anybody writes.
    await eventually(async () => expect((await readiness()).body.data.problems).toEqual([]));
    expect(await storable()).toBeGreaterThan(2 * 1024 * 1024);
    expect((await call('CreateSecret', { name: 'large', value: 'v'.repeat(500_000) })).status).toBe(200);
  }, 60_000);
});
