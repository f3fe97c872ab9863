import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';
import { SystemClock, SystemMonotonicTime } from '../../../src/time/clock';
import { resilientStore } from '../../../src/stores/resilience/concurrency-limit.secret-store';
import { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { describeQuotas, withQuotas } from '../../conformance/quotas.conformance';
import { describeSecretStore } from '../../conformance/secret-store.conformance';
import { freshFolder, masterKeyOf } from '../embedded/vault-under-test';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { MemorySecretStore } from '../../support/memory.secret-store';

const CACHE = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 1_000, maxBytes: 64 * 1024 * 1024 };

async function openMemory() {
  const store = new MemorySecretStore();
  return { store, dispose: () => store.close() };
}

async function openEmbedded() {
  const folder = freshFolder();
  const store = await EmbeddedSecretStore.open({ dataDir: folder.path, masterKey: masterKeyOf('A') });
  const dispose = async () => {
    await store.close();
    folder.remove();
  };
  return { store, dispose };
}

/** As it is put together in open-adapters.ts. */
async function openInfisical() {
  const fake = await FakeInfisical.start({ apiVersion: 'v3' });
  const { clientId, clientSecret } = fake.identity;
  const infisical = createInfisicalSecretStore({ url: fake.url, clientId, clientSecret }, new SystemClock());
  const time = new SystemMonotonicTime();
  const resilient = resilientStore(infisical, 20_000, { time, log: () => undefined });
  const store = new CachedSecretStore(resilient, CACHE, { time, invalidationBus: new NoInvalidationBus() });
  const dispose = async () => {
    await store.close();
    await fake.close();
  };
  return { store, dispose };
}

describeQuotas('the store in memory', { open: openMemory, tellsUsers: false, numRuns: 100 });
describeQuotas('the embedded store', { open: openEmbedded, tellsUsers: true, numRuns: 40 });
describeQuotas('Infisical', { open: openInfisical, tellsUsers: false, numRuns: 15 });

const OUT_OF_REACH = { secrets: 1_000_000, bytes: 1e12 };

describeSecretStore('the embedded store behind quotas', {
  open: async () => {
    const { store, dispose } = await openEmbedded();
    return { store: withQuotas(store, { workspace: OUT_OF_REACH, user: OUT_OF_REACH }), dispose };
  },
});
describeSecretStore('the store in memory behind quotas', {
  open: async () => {
    const { store, dispose } = await openMemory();
    return { store: withQuotas(store, { workspace: OUT_OF_REACH, user: OUT_OF_REACH }), dispose };
  },
});
