import type { BudgetSpent, RequestKind } from './request-budgets';

/** What all requests share: how many are worked on, the memory of their bodies, that of their answers. */
export type SharedBound = 'in_flight' | 'bodies' | 'answers';

/** Why an authenticated caller was told to come later: a budget is spent, or the caller holds its share already. */
export type RefusedFor = BudgetSpent['budget'] | SharedBound;

/** Why a request was refused whoever sent it. */
export type ShedFor = SharedBound | 'event_loop' | 'turns' | 'connections';

export interface LoadFigures {
  readonly inFlight: number;
  readonly bodyBytes: number;
  readonly answerBytes: number;
}

/** Whoever wants to know whom the bounds of load meet. */
export interface ProtectionObserver {
  opened(figures: () => LoadFigures): void;
  connectionsOpened(count: () => number): void;
  refused(why: RefusedFor, kind: RequestKind): void;
  shed(why: ShedFor): void;
}
