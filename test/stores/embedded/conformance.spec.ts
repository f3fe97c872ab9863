import { describeDeletionJobStorage } from '../../conformance/deletion-job-storage.conformance';
import { describeSecretStore } from '../../conformance/secret-store.conformance';
import { EmbeddedSecretStore } from '../../../src/stores/embedded/embedded.secret-store';
import { freshFolder, masterKeyOf } from './vault-under-test';

describeSecretStore('the embedded store', {
  async open() {
    const folder = freshFolder();
    const store = await EmbeddedSecretStore.open({ dataDir: folder.path, masterKey: masterKeyOf('A') });
    return {
      store,
      async dispose() {
        await store.close();
        folder.remove();
      },
    };
  },
});

describeDeletionJobStorage('the embedded store', async () => {
  const folder = freshFolder();
  const open = () => EmbeddedSecretStore.open({ dataDir: folder.path, masterKey: masterKeyOf('A') });
  let store = await open();
  return {
    storage: store.deletionJobs,
    async reopened() {
      await store.close();
      store = await open();
      return store.deletionJobs;
    },
    async close() {
      await store.close();
      folder.remove();
    },
  };
});
