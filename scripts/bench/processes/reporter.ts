import { readdirSync } from 'node:fs';
import { serve } from './handlers';

const handlers = {
  /** User and system time of the whole process so far, its garbage collector's threads included. */
  cpuMs: (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  rssMiB: (): number => process.memoryUsage.rss() / 2 ** 20,
  /** What is still in use: the heap after two collections, as the first one lets finalisers run. */
  heapMb: async (): Promise<number> => {
    for (let collection = 0; collection < 2; collection++) {
      globalThis.gc?.();
      await new Promise(setImmediate);
    }
    return process.memoryUsage().heapUsed / 1e6;
  },
  fileDescriptors: (): number => readdirSync('/proc/self/fd').length,
};

export type Reporter = typeof handlers;

// Loaded before a server's own first line, with --require: the server itself knows nothing of it.
serve(handlers);
