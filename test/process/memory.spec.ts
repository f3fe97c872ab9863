import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { projectSlug } from '../../src/stores/infisical/projects/project-slug';
import { ChildService } from '../support/child-service';
import { eventually } from '../support/eventually';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

const KEYS = { ACCESS_TOKEN_KEY: 'a'.repeat(64), USER_TOKEN_SECRET: 'u'.repeat(64) };
const WORKSPACES = Array.from({ length: 30 }, (_, at) => `large-${at}`);
const OPS = WORKSPACES.flatMap((name) => [
  `ListSecret?workspace=${name}`,
  `RetrieveSecret?workspace=${name}`,
]);
/** Nearly the most that is taken of one answer. */
const VALUE = 'x'.repeat(500_000);
const VALUES_EACH = 15;

/** The chart's memory limit, and what V8 makes of it. */
const LIMIT_MIB = 320;
const HEAP_MIB = LIMIT_MIB / 2;

describe('the built process among the largest workspaces', () => {
  const apps = mkdtempSync(join(tmpdir(), 'apps-'));
  let fake: FakeInfisical;
  let service: ChildService;
  let headers: Record<string, string>;

  beforeAll(async () => {
    mkdirSync(join(apps, 'vault'));
    const sysData = [{ dataType: 'secret', group: 'secret.infisical', version: 'v1', ops: OPS }];
    const manifest = { 'olaresManifest.version': '0.10.0', 'olaresManifest.type': 'app', metadata: { name: 'vault', appid: 'vault' }, permission: { sysData } };
    writeFileSync(join(apps, 'vault/OlaresManifest.yaml'), stringify(manifest));
    writeFileSync(
      join(apps, 'vault/app.yaml'),
      JSON.stringify({ user: 'alice', appKey: 'bytetrade_vault_1', appSecret: '0'.repeat(16) }),
    );
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    for (const workspace of WORKSPACES) {
      const slug = projectSlug({ user: 'alice', workspace });
      fake.world.addProject(slug, workspace, fake.identity);
      const location = fake.project(slug)!.environments.find((environment) => environment.slug === 'prod')!;
      for (let at = 0; at < VALUES_EACH; at += 1) fake.world.addSecret(location, `k${at}`, VALUE);
    }
    service = await ChildService.start({
      NODE_ENV: 'production',
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
      PORT: '0',
      LOG_LEVEL: 'info',
      GRANTS_DIR: apps,
      // The memory is measured, not what large lists cost of the rate limits.
      RATE_LIMIT_APP_READS: '0',
      RATE_LIMIT_USER_READS: '0',
      INFISICAL_URL: fake.url,
      INFISICAL_CLIENT_ID: fake.identity.clientId,
      INFISICAL_CLIENT_SECRET: fake.identity.clientSecret,
      ...KEYS,
    });
    headers = {
      'x-authorization': await userToken('alice', Date.now(), { key: Buffer.from(KEYS.USER_TOKEN_SECRET) }),
      'x-access-token': await accessToken('vault', 'alice', OPS, Date.now(), { key: Buffer.from(KEYS.ACCESS_TOKEN_KEY) }),
    };
  }, 60_000); // prettier-ignore
  afterAll(async () => {
    await service.end();
    await fake.close();
    rmSync(apps, { recursive: true });
  });

  const call = async (operation: string, workspace: string, body: object) =>
    httpCall(`http://127.0.0.1:${service.ports.main}/${operation}?workspace=${workspace}`, { headers, body });
  const peakMib = (): number =>
    Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1]) / 1024;

  /** Some exceed the app's share of answers, find no turn in time or a late event loop, and are told to come later. */
  const expectServed = (statuses: readonly number[]): void => {
    expect(statuses).toContain(200);
    expect(statuses.filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
  };

  it('reads a name of each of them at once within the memory of its pod', async () => {
    const answers = await Promise.all(WORKSPACES.map((name) => call('RetrieveSecret', name, { name: 'k1' })));
    expectServed(answers.map(({ status }) => status));
    expect(peakMib()).toBeLessThan(LIMIT_MIB);
  });

  it('lists all of them at once, too', async () => {
    const answers = await Promise.all(
      WORKSPACES.map(async (name) => (await call('ListSecret', name, {})).status),
    );
    expectServed(answers);
    // What the last answers hold is given back once their connections have taken them.
    await eventually(async () => expect((await call('ListSecret', WORKSPACES[0]!, {})).status).toBe(200));
    expect(peakMib()).toBeLessThan(LIMIT_MIB);
  });
});
