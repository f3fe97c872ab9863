import { SystemClock } from '../../../src/time/clock';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { createInfisicalStores } from '../../../src/stores/infisical/create-infisical-secret-store';
import { describeDeletionJobStorage } from '../../conformance/deletion-job-storage.conformance';
import { describeSecretStore } from '../../conformance/secret-store.conformance';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';

// v4 as its documents describe it.
for (const apiVersion of ['v3', 'v3-2025', 'fork', 'v4'] as const) {
  describeSecretStore(`the Infisical store (${apiVersion})`, {
    async open() {
      const fake = await FakeInfisical.start({ apiVersion });
      const { clientId, clientSecret } = fake.identity;
      const store = createInfisicalSecretStore({ url: fake.url, clientId, clientSecret }, new SystemClock());
      return {
        store,
        async dispose() {
          await store.close();
          await fake.close();
        },
      };
    },
  });

  describeDeletionJobStorage(`the Infisical store (${apiVersion})`, async () => {
    const fake = await FakeInfisical.start({ apiVersion });
    const { clientId, clientSecret } = fake.identity;
    const opened: ReturnType<typeof createInfisicalStores>[] = [];
    const open = () => {
      opened.push(createInfisicalStores({ url: fake.url, clientId, clientSecret }, new SystemClock()));
      return opened.at(-1)!.deletionJobs;
    };
    return {
      storage: open(),
      reopened: () => Promise.resolve(open()),
      async close() {
        await Promise.all(opened.map(({ store }) => store.close()));
        await fake.close();
      },
    };
  });
}
