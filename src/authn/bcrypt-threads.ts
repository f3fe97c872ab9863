import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const WORKER = join(__dirname, 'bcrypt-worker.mjs');
/** Without limits V8 takes more memory than it needs. The thread gets no environment variable either. */
const OPTIONS = {
  env: {},
  resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
};

/**
 * Runs bcrypt on worker threads. On libuv's threads, which bcrypt uses by itself, reads of the embedded store would wait
 * behind it: each proof takes 50 to 90 ms of a core. A thread is started when none is free, and kept.
 */
export class BcryptThreads {
  readonly #all = new Set<Worker>();
  readonly #free: Worker[] = [];
  #closed = false;

  constructor(private readonly file = WORKER) {}

  /** Resolves to whether the hash is one of the text. Each concurrent call takes a thread, so the caller bounds the calls. */
  async compare(text: string, hash: string): Promise<boolean> {
    const work = { text, hash };
    try {
      return await this.#compareOn(this.#free.pop() ?? this.#start(), work);
    } catch {
      // A thread that died, perhaps for lack of memory, says nothing about the proof: try once more on a new one.
      return this.#compareOn(this.#start(), work);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  #start(): Worker {
    if (this.#closed) throw new Error('no more proofs: the service is shutting down');
    const worker = new Worker(this.file, OPTIONS);
    this.#all.add(worker);
    // The calls that wait for the thread see its failure by its exit.
    worker.on('error', () => undefined);
    worker.once('exit', () => {
      this.#all.delete(worker);
      const at = this.#free.indexOf(worker);
      if (at >= 0) this.#free.splice(at, 1);
    });
    return worker;
  }

  async #compareOn(worker: Worker, work: { readonly text: string; readonly hash: string }): Promise<boolean> {
    worker.ref();
    const matches = await new Promise<boolean>((resolve, reject) => {
      const died = (): void => reject(new Error('the thread that compared the proof ended'));
      worker.once('exit', died);
      worker.once('message', (answer: unknown) => {
        worker.off('exit', died);
        resolve(answer === true);
      });
      worker.postMessage(work);
    });
    // A free thread keeps no process alive.
    worker.unref();
    // It may have died right after its answer.
    if (this.#all.has(worker)) this.#free.push(worker);
    return matches;
  }
}
