import type { LogEvent } from '../../../src/logging/log';
import { StoreClient } from '../../support/store-client';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import {
  KUBERNETES_LOGIN,
  withKubernetesAuth,
  type FakeCluster,
} from '../../support/fake-infisical/fake-kubernetes';
import { eventually } from '../../support/eventually';
import { FixedClock } from '../../support/fixed-clock';
import { at } from './opened-store';

const JWT = 'canary-jwt-1';
const TTL_MS = 3_600_000;

describe.each(['fork', 'v3', 'v4'] as const)('Kubernetes Auth (%s)', (apiVersion) => {
  const dir = mkdtempSync(join(tmpdir(), 'kubernetes-auth-'));
  const tokenFile = join(dir, 'token');
  let fake: FakeInfisical;
  let cluster: FakeCluster;
  let clock: FixedClock;
  let stores: StoreClient[] = [];
  let written: string[] = [];
  const logins = () => fake.calls.filter(({ template }) => template === KUBERNETES_LOGIN);
  const open = (identityId = cluster.identityId): StoreClient => {
    const options = { url: fake.url, identityId, tokenFile, apiVersion };
    const log: LogEvent = (_level, event, fields) =>
      void written.push(inspect({ event, fields }, { depth: 9 }));
    const store = new StoreClient(createInfisicalSecretStore(options, clock, log));
    stores.push(store);
    return store;
  };
  const failureOf = async (call: Promise<unknown>): Promise<string> => {
    const error: unknown = await call.then(
      () => 'it succeeded',
      (thrown: unknown) => thrown,
    );
    written.push(inspect(error, { depth: 9, showHidden: true }));
    return error instanceof Error ? error.message : String(error);
  };

  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion });
    cluster = withKubernetesAuth(fake, JWT);
    clock = new FixedClock();
    writeFileSync(tokenFile, `${JWT}\n`);
    [stores, written] = [[], []];
  });
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await fake.close();
    // Whatever a test did, the token was sent and shown nowhere else.
    expect(written.filter((text) => text.includes('canary-jwt'))).toEqual([]);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it('is one login for 20 concurrent calls, without a bearer, and serves them', async () => {
    const store = open();
    await store.create(at(), { name: 'k', value: 'v' });
    fake.killTokens('unknown');
    await Promise.all(Array.from({ length: 20 }, () => store.retrieve(at(), 'k')));
    expect(logins().map(({ bearer, status }) => [bearer, status])).toEqual([
      [false, 200],
      [false, 200],
    ]);
    expect(cluster.seen).toEqual([JWT, JWT]);
  });

  it('reads the token afresh at each login, since Kubernetes replaces it', async () => {
    const store = open();
    await store.list(at());
    cluster.acceptedJwt = 'canary-jwt-2';
    writeFileSync(tokenFile, 'canary-jwt-2');
    clock.advance(TTL_MS * 0.85);
    await store.list(at());
    await eventually(() => expect(cluster.seen).toEqual([JWT, 'canary-jwt-2']));
  });

  it.each([
    ['is missing', () => rmSync(tokenFile)],
    ['is empty', () => writeFileSync(tokenFile, ' \n')],
    ['is no token', () => writeFileSync(tokenFile, 'canary-jwt'.repeat(10_000))],
    ['is a pipe', () => (rmSync(tokenFile), execFileSync('mkfifo', [tokenFile]))],
  ])('readiness says that the token file %s, and all is well once it is there', async (_title, spoil) => {
    spoil();
    const store = open();
    const message =
      "The file of the pod's ServiceAccount token (INFISICAL_KUBERNETES_TOKEN_FILE) cannot be read, or is empty.";
    expect(await failureOf(store.ping())).toBe(message);
    expect(logins()).toEqual([]);
    rmSync(tokenFile, { force: true });
    writeFileSync(tokenFile, JWT);
    clock.advance(5_000);
    await store.ping();
  });

  it('a token file without an end fills no memory', async () => {
    rmSync(tokenFile);
    symlinkSync('/dev/zero', tokenFile);
    const beforeKiB = process.resourceUsage().maxRSS;
    expect(await failureOf(open().ping())).toMatch(/cannot be read/);
    expect(process.resourceUsage().maxRSS - beforeKiB).toBeLessThan(100 * 1024);
    rmSync(tokenFile);
  });

  it.each([
    [
      'a token that the cluster does not vouch for',
      () => writeFileSync(tokenFile, 'canary-jwt-other'),
      undefined,
    ],
    ['an unknown identity', () => undefined, 'd009a4cf-1c58-4857-9f2d-263e79e3a5c0'],
  ])('%s is given a rest, and readiness says so', async (_title, spoil, identityId) => {
    spoil();
    const store = open(identityId);
    const message =
      "Infisical refuses the pod's ServiceAccount token or the identity id; logins are paused between attempts.";
    for (let i = 0; i < 5; i++) {
      expect(await failureOf(store.ping())).toBe(message);
      expect(await failureOf(store.list(at()))).not.toBe('it succeeded');
      clock.advance(10_000);
    }
    expect(logins()).toHaveLength(1);
    clock.advance(10_000);
    await failureOf(store.ping());
    expect(logins()).toHaveLength(2);
  });
});
