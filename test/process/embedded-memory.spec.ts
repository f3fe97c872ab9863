import { StoreClient } from '../support/store-client';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedSecretStore } from '../../src/stores/embedded/embedded.secret-store';
import { GrantsFolder } from '../grant-sources/grants-folder';
import { ChildService } from '../support/child-service';
import { httpCall } from '../support/http-call';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

const MASTER_KEY = 'm'.repeat(32);
const LARGE = 512 * 1024;
/** Text that takes one byte a character in memory, two of them, and six in JSON. */
const VALUES = [
  'x'.repeat(LARGE),
  `🚀${'x'.repeat(LARGE - 4)}`,
  '\u0001'.repeat(LARGE / 4),
  'é'.repeat(LARGE / 2),
];
const OPS = ['ListSecret?workspace=ws', 'CreateSecret?workspace=ws'];
const APPS = VALUES.map((_, at) => ({
  app: `app${at}`,
  user: `user${at}`,
  appKey: `bytetrade_app${at}_1`,
  appSecret: '0'.repeat(16),
  ops: OPS,
}));

/** The chart's memory limit, and what V8 makes of it. */
const LIMIT_MIB = 320;
const HEAP_MIB = LIMIT_MIB / 2;

describe('the built process on an embedded store of large workspaces', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'large-'));
  const apps = new GrantsFolder(APPS);
  let service: ChildService;

  beforeAll(async () => {
    const store = new StoreClient(
      await EmbeddedSecretStore.open({ dataDir, masterKey: Buffer.from(MASTER_KEY) }),
    );
    await Promise.all(
      VALUES.flatMap((value, at) =>
        Array.from({ length: 16 }, (_, n) =>
          store.create({ user: `user${at}`, workspace: 'ws', environment: 'prod' }, { name: `k${n}`, value }),
        ),
      ),
    );
    await store.close();
    service = await ChildService.start({
      NODE_ENV: 'production',
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
      PORT: '0',
      LOG_LEVEL: 'info',
      GRANTS_DIR: apps.dir,
      DATA_DIR: dataDir,
      MASTER_KEY,
      USER_TOKEN_SECRET: USER_TOKEN_SECRET.toString(),
      ACCESS_TOKEN_KEY: ACCESS_TOKEN_KEY.toString(),
      RATE_LIMIT_APP_READS: '100000',
      RATE_LIMIT_USER_READS: '100000',
    });
  }, 60_000);
  afterAll(async () => {
    expect(await service.end()).toBe(0);
    apps.dispose();
    rmSync(dataDir, { recursive: true });
  });

  const call = async (at: number, operation: string, body: object): Promise<number> => {
    const headers = {
      'x-authorization': await userToken(`user${at}`, Date.now()),
      'x-access-token': await accessToken(`app${at}`, `user${at}`, OPS, Date.now()),
    };
    const answer = await httpCall(`http://127.0.0.1:${service.ports.main}/${operation}?workspace=ws`, {
      headers,
      body,
      from: `127.0.0.${at + 1}`,
    });
    return answer.status;
  };
  /** The most that the process has held, without the pages of Node's own binary, which the kernel drops and reads again where a limit is near. */
  const peakMib = (): number => {
    const status = readFileSync(`/proc/${service.pid}/status`, 'utf8');
    const mib = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
    return mib('VmHWM') - mib('RssFile');
  };

  it('answers a hundred lists at once, or asks to come later, within the memory of its pod', async () => {
    const statuses = await Promise.all(Array.from({ length: 100 }, (_, n) => call(n % 4, 'ListSecret', {})));
    expect(statuses).toContain(200);
    expect(statuses.filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
    for (const at of VALUES.keys()) expect(await call(at, 'ListSecret', {})).toBe(200);
    expect(peakMib()).toBeLessThan(LIMIT_MIB);
  });

  it('takes no more of a workspace that is larger than its quota', async () => {
    expect(await call(0, 'CreateSecret', { name: 'more', value: 'v' })).toBe(507);
  });
});
