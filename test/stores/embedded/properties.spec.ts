import type { StoreClient } from '../../support/store-client';
import fc from '../../support/fast-check';
import { outcome } from '../../conformance/secret-store.conformance';
import { ENVIRONMENTS, type SecretScope } from '../../../src/secrets/secret';
import { lengthPrefixed } from '../../../src/stores/embedded/records';
import type { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { freshFolder, openStore } from './vault-under-test';

/** Well-formed text of any code points, NUL and newlines included. */
const text = (maxLength: number) => fc.string({ unit: 'binary', maxLength });
/** Few and short, so that scopes and names come near each other. */
const near = fc.oneof(fc.constantFrom('a', 'b', 'ab', 'a-b', '', 'A', '\0', 'a\0'), text(3));
const scopes = fc.record({ user: near, workspace: near, environment: fc.constantFrom(...ENVIRONMENTS) });

describe('For any names and values the embedded store', () => {
  const folder = freshFolder();
  let store: StoreClient<EmbeddedSecretStore>;
  let turn = 0;
  beforeAll(async () => {
    store = await openStore(folder.path);
  });
  afterAll(async () => {
    await store.close();
    folder.remove();
  });

  it('gives back what was written, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(text(40), text(40), text(100), text(500), async (user, workspace, name, value) => {
        const scope: SecretScope = { user: `${++turn}${user}`, workspace, environment: 'dev' };
        await store.create(scope, { name, value });
        expect(await store.retrieve(scope, name)).toEqual({ name, value });
        expect(await store.list(scope)).toEqual([{ name, value }]);
      }),
      { numRuns: 150 },
    );
  });

  it('does what a map by scope and name does', async () => {
    const step = fc.record({
      call: fc.constantFrom('create', 'update', 'delete', 'retrieve', 'list', 'reopen'),
      scope: scopes,
      name: near,
      value: text(20),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const run = `${++turn}:`;
        const model = new Map<string, Map<string, string>>();
        for (const { call, scope: drawn, name, value } of steps) {
          const scope = { ...drawn, user: run + drawn.user };
          const place = JSON.stringify([scope.user, scope.workspace, scope.environment]);
          const secrets = model.get(place) ?? new Map<string, string>();
          model.set(place, secrets);
          const had = secrets.has(name);
          if (call === 'create') {
            expect(await outcome(store.create(scope, { name, value }))).toBe(
              had ? 'SECRET_ALREADY_EXISTS' : 'done',
            );
            if (!had) secrets.set(name, value);
          } else if (call === 'update') {
            expect(await outcome(store.update(scope, { name, value }))).toBe(
              had ? 'done' : 'SECRET_NOT_FOUND',
            );
            if (had) secrets.set(name, value);
          } else if (call === 'delete') {
            expect(await outcome(store.delete(scope, name))).toBe(had ? 'done' : 'SECRET_NOT_FOUND');
            secrets.delete(name);
          } else if (call === 'retrieve') {
            expect(await outcome(store.retrieve(scope, name))).toBe(had ? 'done' : 'SECRET_NOT_FOUND');
          } else if (call === 'reopen') {
            await store.close();
            store = await openStore(folder.path);
          }
          const listed = [...secrets].map(([each, its]) => ({ name: each, value: its }));
          expect(await store.list(scope)).toEqual(listed.sort((a, b) => (a.name < b.name ? -1 : 1)));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('joins different parts to different bytes', () => {
    const parts = fc.array(fc.oneof(near, fc.constantFrom('\0\0\0\u0001a', '\0\0\0\0')), { maxLength: 4 });
    fc.assert(
      fc.property(parts, parts, (some, others) => {
        const same = JSON.stringify(some) === JSON.stringify(others);
        expect(lengthPrefixed(...some).equals(lengthPrefixed(...others))).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });
});
