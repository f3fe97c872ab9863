import fc from '../support/fast-check';
import { QuotaExceeded, type QuotaLimit } from '../../src/errors/store-errors';
import { QuotaSecretStore, type QuotaDependencies } from '../../src/stores/quota/quota.secret-store';
import type { Quotas } from '../../src/stores/quota/usage-counters';
import { ENVIRONMENTS, type Secret, type SecretScope, type Usage } from '../../src/secrets/secret';
import type { CompleteSecretStore } from '../../src/secrets/secret-store';
import { StoreClient } from '../support/store-client';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { outcome } from './secret-store.conformance';

export interface StoreUnderQuota {
  /** A store without quotas. */
  open(): Promise<{ store: CompleteSecretStore; dispose(): Promise<void> }>;
  /** Whether it can tell what a user has in workspaces that nobody wrote to since the start. */
  readonly tellsUsers: boolean;
  /** Of the properties. */
  readonly numRuns: number;
}

const UNLIMITED = { secrets: Infinity, bytes: Infinity };

/** Its name and value take so many bytes. */
export const secretOf = (name: string, bytes: number): Secret => ({
  name,
  value: 'v'.repeat(bytes - Buffer.byteLength(name)),
});

export function withQuotas(
  store: CompleteSecretStore,
  quotas: { [K in keyof Quotas]?: Partial<Quotas[K]> },
  deps: Partial<QuotaDependencies> = {},
): QuotaSecretStore {
  const whole = {
    workspace: { ...UNLIMITED, ...quotas.workspace },
    user: { ...UNLIMITED, ...quotas.user },
  };
  return new QuotaSecretStore(store, whole, { time: new FixedMonotonicTime(), ...deps });
}

/** A client of the store with these quotas. */
function clientWithQuotas(
  { store }: StoreClient,
  quotas: { [K in keyof Quotas]?: Partial<Quotas[K]> },
): StoreClient {
  return new StoreClient(withQuotas(store, quotas));
}

/** What the caller of a refused write is told. */
export async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return 'done';
  } catch (error: unknown) {
    if (error instanceof QuotaExceeded) return error.details;
    throw error;
  }
}

/** What the quota takes to be used of what it refuses a write for that is larger than every limit. */
async function expectKnown(store: StoreClient, scope: SecretScope, used: Usage): Promise<void> {
  const told = await refusal(store.create(scope, secretOf('too-large', 400_000)));
  const { limit } = told as { limit: QuotaLimit };
  expect(told).toMatchObject({ used: limit.endsWith('bytes') ? used.bytes : used.secrets });
}

/** The quotas, sentence by sentence of docs/limits.md. */
export function describeQuotas(title: string, subject: StoreUnderQuota): void {
  describe(`quotas in front of ${title}`, () => {
    let inner: StoreClient;
    let dispose: () => Promise<void>;
    beforeAll(async () => {
      const opened = await subject.open();
      inner = new StoreClient(opened.store);
      dispose = () => opened.dispose();
    });
    afterAll(async () => dispose());
    let turn = 0;
    /** A user of its own for each test. */
    const fresh = (): SecretScope => ({ user: `user-${++turn}`, workspace: 'ws', environment: 'prod' });
    const exceeded = (limit: QuotaLimit, max: number, used: number) => ({ limit, max, used });

    it('take as many secrets as a workspace may hold in an environment, and no more', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { workspace: { secrets: 3 } });
      for (const name of ['a', 'b', 'c']) await store.create(scope, { name, value: 'v' });
      expect(await refusal(store.create(scope, { name: 'd', value: 'v' }))).toEqual(
        exceeded('workspace_secrets', 3, 3),
      );
      expect((await store.list(scope)).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
      for (const environment of ENVIRONMENTS.filter((each) => each !== 'prod'))
        expect(await refusal(store.create({ ...scope, environment }, { name: 'd', value: 'v' }))).toBe(
          'done',
        );
    });

    it('take as many bytes of names and values, in UTF-8, to the last one', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { workspace: { bytes: 100 } });
      await store.create(scope, { name: 'é', value: '🚀'.repeat(10) });
      expect(await refusal(store.create(scope, secretOf('k', 59)))).toEqual(
        exceeded('workspace_bytes', 100, 42),
      );
      await store.create(scope, secretOf('k', 58));
      expect(await refusal(store.update(scope, secretOf('k', 59)))).toEqual(
        exceeded('workspace_bytes', 100, 100),
      );
      expect(await store.retrieve(scope, 'k')).toEqual(secretOf('k', 58));
      await store.update(scope, secretOf('k', 40));
      await store.create(scope, secretOf('l', 18));
    });

    it('say nothing of the value that was refused', async () => {
      const store = clientWithQuotas(inner, { workspace: { bytes: 10 } });
      const error = await store
        .create(fresh(), { name: 'k', value: 'canary-value' })
        .catch((e: unknown) => e);
      expect(error).toMatchObject({ reason: 'QUOTA_EXCEEDED', status: 507 });
      expect(JSON.stringify([error, (error as Error).message])).not.toContain('canary');
    });

    it('take what does not grow, and deletes, from whoever has too much already', async () => {
      const scope = fresh();
      for (const name of ['a', 'b', 'c', 'd']) await inner.create(scope, secretOf(name, 50));
      const store = clientWithQuotas(inner, { workspace: { secrets: 2, bytes: 100 } });
      expect((await store.list(scope)).length).toBe(4);
      expect(await refusal(store.update(scope, secretOf('a', 51)))).toEqual(
        exceeded('workspace_bytes', 100, 200),
      );
      expect(await refusal(store.update(scope, secretOf('a', 50)))).toBe('done');
      expect(await refusal(store.update(scope, secretOf('a', 10)))).toBe('done');
      expect(await refusal(store.create(scope, secretOf('e', 1)))).toEqual(
        exceeded('workspace_secrets', 2, 4),
      );
      for (const name of ['b', 'c', 'd']) await store.delete(scope, name);
      await store.create(scope, secretOf('e', 90));
      expect(await refusal(store.update(scope, secretOf('e', 91)))).toEqual(
        exceeded('workspace_bytes', 100, 100),
      );
    });

    it('count what is deleted first thing after the start', async () => {
      const scope = fresh();
      for (const name of ['a', 'b']) await inner.create(scope, secretOf(name, 50));
      const store = clientWithQuotas(inner, { workspace: { secrets: 2 }, user: { secrets: 2, bytes: 100 } });
      await store.delete(scope, 'a');
      await store.create(scope, secretOf('c', 50));
      expect(await outcome(store.create(scope, secretOf('d', 1)))).toBe('QUOTA_EXCEEDED');
    });

    it('leave the store its own answers where it would not have grown anyway', async () => {
      const scope = fresh();
      await inner.create(scope, { name: 'a', value: 'v' });
      const store = clientWithQuotas(inner, { workspace: { secrets: 1, bytes: 2 } });
      expect(await outcome(store.create(scope, { name: 'a', value: 'larger' }))).toBe(
        'SECRET_ALREADY_EXISTS',
      );
      expect(await outcome(store.update(scope, { name: 'b', value: 'larger' }))).toBe('SECRET_NOT_FOUND');
      expect(await outcome(store.delete(scope, 'b'))).toBe('SECRET_NOT_FOUND');
      expect(await store.list(scope)).toEqual([{ name: 'a', value: 'v' }]);
      expect(await refusal(store.create(scope, secretOf('b', 1)))).toEqual(
        exceeded('workspace_secrets', 1, 1),
      );
    });

    it('give back what a write that failed had been counted for', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { workspace: { secrets: 2, bytes: 100 } });
      await store.create(scope, secretOf('a', 50));
      for (let i = 0; i < 3; i++) {
        expect(await outcome(store.create(scope, secretOf('a', 60)))).toBe('SECRET_ALREADY_EXISTS');
        expect(await outcome(store.update(scope, secretOf('z', 40)))).toBe('SECRET_NOT_FOUND');
      }
      await store.create(scope, secretOf('b', 50));
    });

    it('let no more in together than one after the other', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { workspace: { secrets: 7 }, user: { bytes: 950 } });
      const names = Array.from({ length: 30 }, (_, i) => `n${i}`);
      const ends = await Promise.all(
        names.map((name, i) =>
          outcome(store.create({ ...scope, workspace: `ws${i % 2}` }, secretOf(name, 100))),
        ),
      );
      expect(ends.filter((end) => end === 'done')).toHaveLength(9);
      expect(new Set(ends)).toEqual(new Set(['done', 'QUOTA_EXCEEDED']));
    });

    it('hold updates of one name that come together to the largest of them', async () => {
      const scope = fresh();
      await inner.create(scope, secretOf('a', 10));
      const store = clientWithQuotas(inner, { workspace: { bytes: 1_000 } });
      const ends = await Promise.all([
        outcome(store.update(scope, secretOf('a', 900))),
        outcome(store.update(scope, secretOf('a', 20))),
        outcome(store.create(scope, secretOf('b', 500))),
      ]);
      expect(ends.filter((end) => end === 'QUOTA_EXCEEDED')).toHaveLength(1);
      const measured = await inner.measure(scope);
      expect(measured.bytes).toBeLessThanOrEqual(1_000);
      await expectKnown(store, scope, measured);
    });

    it('hold a user to what all workspaces and environments take together, and nobody else', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { user: { secrets: 3, bytes: 250 } });
      await store.create({ ...scope, workspace: 'one' }, secretOf('a', 100));
      await store.create({ ...scope, workspace: 'two' }, secretOf('a', 100));
      expect(await refusal(store.create({ ...scope, workspace: 'three' }, secretOf('a', 51)))).toEqual(
        exceeded('user_bytes', 250, 200),
      );
      await store.create({ ...scope, environment: 'dev' }, secretOf('a', 50));
      expect(await refusal(store.create(scope, secretOf('a', 1)))).toEqual(exceeded('user_secrets', 3, 3));
      await store.create(fresh(), secretOf('a', 250));
      await store.delete({ ...scope, workspace: 'two' }, 'a');
      await store.create(scope, secretOf('a', 100));
    });

    it('have space again after a workspace is removed', async () => {
      const scope = fresh();
      const store = clientWithQuotas(inner, { workspace: { secrets: 1 }, user: { secrets: 1 } });
      await store.create(scope, secretOf('a', 10));
      expect(await outcome(store.create(scope, secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
      for (const workspace of await store.workspacesOf(scope.user)) await store.removeWorkspace(workspace);
      await store.create(scope, secretOf('b', 10));
      expect(await outcome(store.create(scope, secretOf('c', 10)))).toBe('QUOTA_EXCEEDED');
    });

    it('hold over a restart', async () => {
      const scope = fresh();
      const before = clientWithQuotas(inner, { workspace: { secrets: 2 } });
      await before.create(scope, secretOf('a', 10));
      const after = clientWithQuotas(inner, { workspace: { secrets: 2 } });
      await after.create(scope, secretOf('b', 10));
      expect(await outcome(after.create(scope, secretOf('c', 10)))).toBe('QUOTA_EXCEEDED');
    });

    it(`${subject.tellsUsers ? 'count' : 'do not count'} the workspaces of a user that were not written to since`, async () => {
      const scope = fresh();
      await inner.create({ ...scope, workspace: 'old' }, secretOf('a', 100));
      const store = clientWithQuotas(inner, { user: { bytes: 150 } });
      expect(await outcome(store.create(scope, secretOf('a', 100)))).toBe(
        subject.tellsUsers ? 'QUOTA_EXCEEDED' : 'done',
      );
      if (!subject.tellsUsers)
        await store.create({ ...scope, workspace: 'old' }, secretOf('b', 1)).catch(() => undefined);
      expect(await refusal(store.create(scope, secretOf('b', 60)))).toMatchObject({ limit: 'user_bytes' });
    });

    const step = fc.record({
      kind: fc.constantFrom('create', 'update', 'delete', 'create', 'update'),
      workspace: fc.constantFrom('one', 'two'),
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      bytes: fc.integer({ min: 1, max: 400 }),
    });
    const rounds = fc.array(fc.array(step, { maxLength: 8 }), { minLength: 1, maxLength: 6 });

    it.each([
      ['workspaces', { workspace: { secrets: 3, bytes: 700 } }],
      ['users', { user: { secrets: 5, bytes: 1_100 } }],
    ])('know of %s after any writes at once what a measurement says', async (of, quotas) => {
      await fc.assert(
        fc.asyncProperty(rounds, async (together) => {
          const { user } = fresh();
          const store = clientWithQuotas(inner, quotas);
          const scopes = ['one', 'two'].map((workspace): SecretScope => ({
            user,
            workspace,
            environment: 'prod',
          }));
          const run = ({ kind, workspace, name, bytes }: (typeof together)[number][number]) => {
            const scope = scopes.find((each) => each.workspace === workspace)!;
            return kind === 'delete'
              ? outcome(store.delete(scope, name))
              : outcome(store[kind](scope, secretOf(name, bytes)));
          };
          for (const steps of together) {
            await Promise.all(steps.map(run));
            const [one, two] = await Promise.all(scopes.map((scope) => inner.measure(scope)));
            const sum = { secrets: one!.secrets + two!.secrets, bytes: one!.bytes + two!.bytes };
            for (const [at, used] of (of === 'users' ? [sum, sum] : [one!, two!]).entries()) {
              const limit = Object.values(quotas)[0]!;
              expect(used.secrets).toBeLessThanOrEqual(limit.secrets);
              expect(used.bytes).toBeLessThanOrEqual(limit.bytes);
              await expectKnown(store, scopes[at]!, used);
            }
          }
        }),
        { numRuns: subject.numRuns },
      );
    });
  });
}
