import type { BudgetSpent, RequestKind } from './request-budgets';

/** Why an authenticated caller was told to come later: a budget is spent, or too much of theirs is under way. */
export type RefusedFor = BudgetSpent['budget'] | 'in_flight';

/** Why a request was not looked at. */
export type ShedFor = 'in_flight' | 'event_loop' | 'bodies';

export interface LoadFigures {
  readonly inFlight: number;
}

/** Whoever wants to know whom the bounds of load meet. */
export interface ProtectionObserver {
  opened(figures: () => LoadFigures): void;
  refused(why: RefusedFor, kind: RequestKind): void;
  shed(why: ShedFor): void;
}
