import type { MonotonicTime } from '../../clock/monotonic-time';
import { StoreUnreachable } from '../../errors/store-errors';
import type { SecretScope } from '../../secrets/secret';
import { waitedMs } from '../../secrets/waited';
import { deadlineIn, type Deadline, remainingMs } from './deadline';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { Log } from './infisical-options';
import type { ScopeLock } from './scope-lock';
import { ScopeQueue } from './scope-queue';
import { storeErrorAfter } from './store-failure';

type Operation<T> = (deadline: Deadline) => Promise<T>;

const ALWAYS_WRITTEN = 'Others write to this workspace all the time; nothing was changed. Try again.';

/** What every operation of the store has: a deadline, its turn if it writes, and our words for what went wrong. */
export class Operations {
  readonly #turns = new ScopeQueue();
  #writesAsked = 0;
  #writesUnderWay = 0;

  constructor(
    private readonly timeoutMs: number,
    private readonly time: MonotonicTime,
    private readonly log: Log,
    private readonly lock: ScopeLock,
  ) {}

  /** The deadline counts from here, the wait for a turn included, and less what was waited before. @throws DomainError */
  async run<T>(operation: Operation<T>): Promise<T> {
    try {
      return await operation(deadlineIn(this.timeoutMs - waitedMs(), this.time));
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      const { call, method, pathTemplate, reason, status, said } = error;
      const words = said === undefined ? {} : { said };
      this.log('infisical.call.failed', {
        call,
        method,
        pathTemplate,
        reason,
        status: status ?? 0,
        ...words,
      });
      throw storeErrorAfter(error);
    }
  }

  get writes(): { readonly waiting: number; readonly underWay: number } {
    return { waiting: this.#writesAsked - this.#writesUnderWay, underWay: this.#writesUnderWay };
  }

  write<T>(operation: Operation<T>): Promise<T> {
    return this.#counted(() => this.run((deadline) => this.#underWay(() => operation(deadline))));
  }

  /** Writes of one scope take turns: the server's create looks first and stores later. */
  writeInTurn<T>(scope: SecretScope, operation: Operation<T>): Promise<T> {
    const key = JSON.stringify([scope.user, scope.workspace, scope.environment]);
    return this.#counted(() =>
      this.run((deadline) =>
        this.#turns.run(key, () =>
          this.#locked(key, deadline, () => this.#underWay(() => operation(deadline))),
        ),
      ),
    );
  }

  /** First our own turn, then that among replicas, so that each of them has one write at most at the lock. */
  async #locked<T>(key: string, deadline: Deadline, write: () => Promise<T>): Promise<T> {
    const held = await this.lock.hold(key, remainingMs(deadline, this.time));
    if (held === undefined) throw new StoreUnreachable(ALWAYS_WRITTEN);
    try {
      return await write();
    } finally {
      held.release();
    }
  }

  async #counted<T>(write: () => Promise<T>): Promise<T> {
    this.#writesAsked += 1;
    try {
      return await write();
    } finally {
      this.#writesAsked -= 1;
    }
  }

  async #underWay<T>(write: () => Promise<T>): Promise<T> {
    this.#writesUnderWay += 1;
    try {
      return await write();
    } finally {
      this.#writesUnderWay -= 1;
    }
  }
}
