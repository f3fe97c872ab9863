import {
  accountOf,
  RequestBudgets,
  type BudgetRates,
  type BudgetSpent,
  type RequestKind,
  type Spender,
} from '../protection/request-budgets';
import { LeasedTokens } from './leased-tokens';
import { RedisUnavailable } from './redis-failure';
import type { RedisLink } from './redis-link';

type Budget = BudgetSpent['budget'];

interface Drawn {
  readonly budget: Budget;
  readonly tokens: LeasedTokens;
  readonly account: string;
}

/** Budgets that all replicas share. Most requests are decided from tokens at hand; without Redis, each replica decides alone. */
export class RedisRequestBudgets extends RequestBudgets {
  readonly #tokens: readonly {
    readonly budget: Budget;
    readonly kind: RequestKind;
    readonly tokens: LeasedTokens;
  }[];

  constructor(
    rates: BudgetRates,
    private readonly link: Pick<RedisLink, 'commands' | 'options' | 'around'>,
    private readonly alone: RequestBudgets,
  ) {
    super();
    this.#tokens = (['app', 'user'] as const).flatMap((budget) =>
      (['read', 'write'] as const).flatMap((kind) => {
        const rate = rates[budget][kind];
        if (rate === undefined) return [];
        return [{ budget, kind, tokens: new LeasedTokens(`${budget}:${kind}`, rate, link) }];
      }),
    );
  }

  take(kind: RequestKind, spender: Spender): BudgetSpent | undefined | Promise<BudgetSpent | undefined> {
    if (!this.link.commands.isReady) return this.alone.take(kind, spender);
    const drawn = this.#tokens.flatMap(({ budget, kind: ofKind, tokens }): readonly Drawn[] => {
      const account = accountOf(budget, spender);
      return ofKind !== kind || account === undefined ? [] : [{ budget, tokens, account }];
    });
    return takenFrom(drawn) ? undefined : this.#fetched(drawn, kind, spender);
  }

  /** Paid back with what is fetched next: so it counts for all replicas. */
  charge(kind: RequestKind, spender: Spender, requests: number): void {
    if (!this.link.commands.isReady) return this.alone.charge(kind, spender, requests);
    for (const { budget, kind: ofKind, tokens } of this.#tokens) {
      const account = accountOf(budget, spender);
      if (ofKind === kind && account !== undefined) tokens.take(account, requests);
    }
  }

  async #fetched(
    drawn: readonly Drawn[],
    kind: RequestKind,
    spender: Spender,
  ): Promise<BudgetSpent | undefined> {
    try {
      // Others may take what was fetched; then some more is, until there is none.
      while (!takenFrom(drawn)) {
        for (const { budget, tokens, account } of drawn) {
          if (tokens.has(account)) continue;
          if (tokens.waitMs(account) === 0) await tokens.fetch(account);
          const retryAfterMs = tokens.waitMs(account);
          if (!tokens.has(account) && retryAfterMs > 0) return { budget, retryAfterMs };
        }
      }
      return undefined;
    } catch (error: unknown) {
      if (!(error instanceof RedisUnavailable)) throw error;
      return this.alone.take(kind, spender);
    }
  }
}

/** One of each, or none of any. */
function takenFrom(drawn: readonly Drawn[]): boolean {
  if (!drawn.every(({ tokens, account }) => tokens.has(account))) return false;
  for (const { tokens, account } of drawn) tokens.take(account);
  return true;
}
