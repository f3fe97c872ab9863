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
