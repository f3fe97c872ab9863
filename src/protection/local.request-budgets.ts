import type { MonotonicTime } from '../clock/monotonic-time';
import {
  accountOf,
  RequestBudgets,
  type BudgetRates,
  type BudgetSpent,
  type RequestKind,
  type Spender,
} from './request-budgets';
import { TokenBuckets } from './token-buckets';

interface Budget {
  readonly budget: BudgetSpent['budget'];
  readonly buckets: Readonly<Partial<Record<RequestKind, TokenBuckets>>>;
}

/** Budgets of this process alone. */
export class LocalRequestBudgets extends RequestBudgets {
  readonly #budgets: readonly Budget[];

  constructor(rates: BudgetRates, time: MonotonicTime) {
    super();
    this.#budgets = (['app', 'user'] as const).map((budget) => {
      const { read, write } = rates[budget];
      return {
        budget,
        buckets: {
          ...(read !== undefined && { read: new TokenBuckets(read, time) }),
          ...(write !== undefined && { write: new TokenBuckets(write, time) }),
        },
      };
    });
  }

  take(kind: RequestKind, spender: Spender): BudgetSpent | undefined {
    const drawn: { readonly buckets: TokenBuckets; readonly account: string }[] = [];
    for (const { budget, buckets: ofKind } of this.#budgets) {
      const buckets = ofKind[kind];
      const account = accountOf(budget, spender);
      if (buckets === undefined || account === undefined) continue;
      const retryAfterMs = buckets.waitMs(account);
      if (retryAfterMs > 0) return { budget, retryAfterMs };
      drawn.push({ buckets, account });
    }
    for (const { buckets, account } of drawn) buckets.take(account);
    return undefined;
  }

  charge(kind: RequestKind, spender: Spender, requests: number): void {
    for (const { budget, buckets } of this.#budgets) {
      const account = accountOf(budget, spender);
      if (account !== undefined) buckets[kind]?.take(account, requests);
    }
  }
}
