import type { FakeAnswer } from './fake-answer';

/**
 * What goes wrong. `after` means that the request was carried out first, so that only its answer is lost:
 * this is what a server does that is cut at 30 s.
 */
export type Fault =
  | ({ readonly kind: 'answer'; readonly when?: 'before' | 'after' } & FakeAnswer)
  | { readonly kind: 'reset' | 'hang' | 'truncate'; readonly when: 'before' | 'after' }
  | { readonly kind: 'delay'; readonly ms: number };

export interface PlannedFault {
  readonly method?: string;
  readonly template?: string;
  /** How many requests it hits; 1 unless told. */
  readonly times?: number;
  readonly fault: Fault;
}

/** The faults to come, each for the first requests that it fits. */
export class FaultPlan {
  #planned: { readonly plan: PlannedFault; left: number }[] = [];

  add(plan: PlannedFault): void {
    this.#planned.push({ plan, left: plan.times ?? 1 });
  }

  clear(): void {
    this.#planned = [];
  }

  take(method: string, template: string | undefined): Fault | undefined {
    const hit = this.#planned.find(
      ({ plan, left }) =>
        left > 0 &&
        (plan.method === undefined || plan.method === method) &&
        (plan.template === undefined || plan.template === template),
    );
    if (hit === undefined) return undefined;
    hit.left -= 1;
    return hit.plan.fault;
  }
}
