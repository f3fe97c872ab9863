import type { ScopeEpochs } from './scope-epochs';

interface Running<T> {
  readonly asOf: number;
  readonly work: Promise<T>;
}

/** One read at a time of each thing: who comes while it runs shares its outcome, unless a write ended since it began. */
export class SharedReads<T> {
  readonly #running = new Map<string, Running<T>>();

  constructor(private readonly epochs: ScopeEpochs) {}

  run(scope: string, thing: string, read: (asOf: number) => Promise<T>): Promise<T> {
    const running = this.#running.get(thing);
    if (running !== undefined && !this.epochs.supersedes(scope, running.asOf)) return running.work;
    const asOf = this.epochs.now;
    const mine = { asOf, work: read(asOf).finally(() => this.#ended(thing, mine)) };
    this.#running.set(thing, mine);
    return mine.work;
  }

  #ended(thing: string, ended: Running<T>): void {
    if (this.#running.get(thing) === ended) this.#running.delete(thing);
  }
}
