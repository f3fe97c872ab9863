import { TooManyRequests, Overloaded } from '../errors/request-errors';
import type { LoopDelay } from './loop-delay';
import type { ProtectionObserver } from './protection-observer';
import type { RequestKind } from './request-budgets';

/** Of all that may be under way, one account has this much at most: one whose work hangs leaves room for the others. */
const LARGEST_SHARE = 1 / 4;

/** Lets requests in as long as there is room for them, in all and for each account. Each that leaves tells so, once. */
export class Admission {
  #inFlight = 0;
  readonly #ofAccount = new Map<string, number>();

  constructor(
    private readonly maxInFlight: number,
    private readonly loop: Pick<LoopDelay, 'isTooLate'> | undefined,
    private readonly observer: ProtectionObserver | undefined,
  ) {
    observer?.opened(() => ({ inFlight: this.#inFlight }));
  }

  /** Before anything is known of the request. @throws Overloaded */
  enter(): () => void {
    if (this.#inFlight >= this.maxInFlight) {
      this.observer?.shed('in_flight');
      throw new Overloaded();
    }
    if (this.loop?.isTooLate === true) {
      this.observer?.shed('event_loop');
      throw new Overloaded();
    }
    this.#inFlight += 1;
    return () => {
      this.#inFlight -= 1;
    };
  }

  /** When it is known on whose account it goes. @throws TooManyRequests */
  enterAs(account: string, kind: RequestKind): () => void {
    const already = this.#ofAccount.get(account) ?? 0;
    if (already >= this.maxInFlight * LARGEST_SHARE) {
      this.observer?.refused('in_flight', kind);
      throw new TooManyRequests(1);
    }
    this.#ofAccount.set(account, already + 1);
    return () => {
      const left = (this.#ofAccount.get(account) ?? 1) - 1;
      if (left === 0) this.#ofAccount.delete(account);
      else this.#ofAccount.set(account, left);
    };
  }
}
