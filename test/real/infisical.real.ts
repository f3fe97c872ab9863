import { StoreClient } from '../support/store-client';
import { randomBytes } from 'node:crypto';
import { SystemClock } from '../../src/time/clock';
import { ENVIRONMENTS, type SecretScope } from '../../src/secrets/secret';
import { createInfisicalSecretStore } from '../support/infisical-store';
import { describeSecretStore, outcome } from '../conformance/secret-store.conformance';
import { RealProjects, realServer } from './real-infisical';
import { RunScopedSecretStore } from './run-scoped.secret-store';

const SLOW = process.env['INFISICAL_SLOW'] === 'true';
const PARALLEL_STORES = 20;
const server = realServer();
/** Runs that overlap do not meet. */
const run = `osp-test-${randomBytes(5).toString('hex')}`;
const slugs = new Set<string>();
const apiVersions = new Set<string>();
const failures = new Set<string>();

/** Enough time for the queue of 50 writes at 40 a minute. */
const operationTimeoutMs = SLOW ? 1_200_000 : 120_000;

function openStore(): StoreClient<RunScopedSecretStore> {
  const options = { ...server, operationTimeoutMs, requestTimeoutMs: 30_000 };
  const store = createInfisicalSecretStore(options, new SystemClock(), (_level, event, fields = {}) => {
    if (event === 'infisical_api_version_detected') apiVersions.add(String(fields['apiVersion']));
    // Templates and reasons only: what a failed test needs, and nothing secret.
    if (event === 'infisical_call_failed') failures.add(JSON.stringify(fields));
  });
  return new StoreClient(new RunScopedSecretStore(store, run, slugs));
}

afterAll(async () => {
  const deleted = await (await RealProjects.open(server)).sweep(run, slugs);
  for (const failure of failures) process.stdout.write(`test:infisical: a call failed: ${failure}\n`);
  process.stdout.write(
    `test:infisical: met ${[...apiVersions].join(' and ') || 'no apiVersion'}; deleted the ${deleted} projects of ${run}\n`,
  );
});

describeSecretStore('the Infisical store on a real server', {
  async open() {
    const { store } = openStore();
    return { store, dispose: () => store.close() };
  },
});

describe('provisioning on a real server', () => {
  const scopeOf = (workspace: string, i: number): SecretScope => ({
    user: 'racer',
    workspace,
    environment: ENVIRONMENTS[i % ENVIRONMENTS.length]!,
  });

  it(`makes one project for the first writes of ${PARALLEL_STORES} instances, and keeps them all`, async () => {
    const stores = Array.from({ length: PARALLEL_STORES }, openStore);
    const before = new Set(slugs);
    const outcomes = await Promise.all(
      stores.map((store, i) => outcome(store.create(scopeOf('race', i), { name: `k${i}`, value: `v${i}` }))),
    );
    const [slug, ...others] = [...slugs].filter((known) => !before.has(known));
    const stored = await Promise.all(ENVIRONMENTS.map((_, i) => stores[0]!.list(scopeOf('race', i))));
    await Promise.all(stores.map((store) => store.close()));

    expect(outcomes).toEqual(stores.map(() => 'done'));
    expect(others).toEqual([]);
    expect(new Map(stored.flat().map(({ name, value }) => [name, value]))).toEqual(
      new Map(stores.map((_, i) => [`k${i}`, `v${i}`])),
    );
    const projects = await RealProjects.open(server);
    const project = await projects.find(slug!);
    const ofTheRace = await projects.ofRun(`${run}-racer / race`, project!.orgId!);
    expect(ofTheRace.map(({ id }) => id)).toEqual([project!.id]);
  });

  it('lets one of 50 creates of one name win in a workspace that is new to the server', async () => {
    const store = openStore();
    const scope = scopeOf('fifty', 0);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, i) => outcome(store.create(scope, { name: 'k', value: `v${i}` }))),
    );
    const stored = await store.list(scope);
    await store.close();
    expect(outcomes.filter((result) => result === 'SECRET_ALREADY_EXISTS')).toHaveLength(49);
    expect(stored).toEqual([{ name: 'k', value: `v${outcomes.indexOf('done')}` }]);
  });
});

describe('a huge scope on a real server', () => {
  const HALF_MIB = 512 * 1024;

  it('of more than a MiB is read by name, and read, updated and listed right', async () => {
    const store = openStore();
    const scope: SecretScope = { user: 'carol', workspace: 'huge', environment: 'prod' };
    const secrets = ['a', 'b', 'c', 'd'].map((name) => ({ name, value: name.repeat(HALF_MIB) }));
    for (const secret of secrets) await store.create(scope, secret);
    const listed = await store.list(scope);
    const read = await store.retrieve(scope, 'c');
    const missing = await outcome(store.retrieve(scope, 'none'));
    await store.update(scope, { name: 'c', value: 'changed' });
    const changed = await store.retrieve(scope, 'c');
    await store.delete(scope, 'c');
    const gone = await outcome(store.retrieve(scope, 'c'));
    await store.close();

    expect(listed.map(({ name, value }) => [name, value.length])).toEqual(
      secrets.map(({ name }) => [name, HALF_MIB]),
    );
    expect([read.value === secrets[2]?.value, changed.value]).toEqual([true, 'changed']);
    expect([missing, gone]).toEqual(['SECRET_NOT_FOUND', 'SECRET_NOT_FOUND']);
  });
});
