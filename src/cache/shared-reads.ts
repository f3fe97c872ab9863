import type { MonotonicTime } from '../clock/monotonic-time';
import { isOutOfTime } from '../errors/store-errors';
import { afterWaiting } from '../secrets/waited';
import type { ScopeEpochs } from './scope-epochs';

interface Running<T> {
  readonly asOf: number;
  readonly work: Promise<T>;
}

/** One read at a time of each thing: who comes while it runs shares its outcome, unless a write ended since it began. */
export class SharedReads<T> {
  readonly #running = new Map<string, Running<T>>();

  constructor(
    private readonly epochs: ScopeEpochs,
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
  ) {}

  run(
    scope: string,
    thing: string,
    read: (asOf: number) => Promise<T>,
    sinceMs = this.time.nowMs(),
  ): Promise<T> {
    const running = this.#running.get(thing);
    if (running !== undefined && !this.epochs.supersedes(scope, running.asOf)) {
      // Whoever began it may have had less time than whoever joined it, and the oldest goes on first.
      return running.work.catch((error: unknown) => {
        if (!isOutOfTime(error)) throw error;
        return this.run(scope, thing, read, sinceMs);
      });
    }
    const asOf = this.epochs.now;
    const work = afterWaiting(this.time.nowMs() - sinceMs, () => read(asOf));
    const mine = { asOf, work: work.finally(() => this.#ended(thing, mine)) };
    this.#running.set(thing, mine);
    return mine.work;
  }

  #ended(thing: string, ended: Running<T>): void {
    if (this.#running.get(thing) === ended) this.#running.delete(thing);
  }
}
