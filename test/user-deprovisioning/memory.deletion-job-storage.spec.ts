import { describeDeletionJobStorage } from '../conformance/deletion-job-storage.conformance';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';

describeDeletionJobStorage('the memory of a test', () => {
  const storage = new MemoryDeletionJobStorage();
  return Promise.resolve({
    storage,
    reopened: () => Promise.resolve(storage),
    close: () => Promise.resolve(),
  });
});
