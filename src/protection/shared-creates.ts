import { TooManyRequests } from '../errors/request-errors';
import { SecretAlreadyExists } from '../errors/store-errors';
import { keyOf } from '../secrets/scope-key';
import type { SecretScope } from '../secrets/secret';

/** Creates of one name in one scope, one at a time. */
export class SharedCreates {
  readonly #underWay = new Map<string, Promise<boolean>>();
  /** By scope. */
  readonly #waiting = new Map<string, number>();

  /** @param maxWaitingOfOne how many may wait in one scope for what becomes of others */
  constructor(private readonly maxWaitingOfOne: number) {}

  /**
   * Whoever finds that another creates the same name waits for its outcome: once the name is there, it exists already;
   * else the next one tries. @throws SecretAlreadyExists, TooManyRequests
   */
  async run(scope: SecretScope, name: string, create: () => Promise<void>): Promise<void> {
    const [scopeKey, key] = [keyOf(scope), JSON.stringify([keyOf(scope), name])];
    for (;;) {
      const underWay = this.#underWay.get(key);
      if (underWay === undefined) break;
      if (await this.#waitedFor(scopeKey, underWay)) throw new SecretAlreadyExists(name);
    }
    const created = create();
    const isThere = created.then(
      () => true,
      (error: unknown) => error instanceof SecretAlreadyExists,
    );
    const ended = isThere.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, ended);
    // Those who wait for it are answered with it.
    await ended;
    await created;
  }

  async #waitedFor(scopeKey: string, underWay: Promise<boolean>): Promise<boolean> {
    const waiting = this.#waiting.get(scopeKey) ?? 0;
    if (waiting >= this.maxWaitingOfOne) throw new TooManyRequests(1);
    this.#waiting.set(scopeKey, waiting + 1);
    try {
      return await underWay;
    } finally {
      const left = (this.#waiting.get(scopeKey) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(scopeKey);
      else this.#waiting.set(scopeKey, left);
    }
  }
}
