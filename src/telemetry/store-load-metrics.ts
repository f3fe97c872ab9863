import {
  BREAKER_STATES,
  type BreakerState,
  type QueueFigures,
  type StoreLoadObserver,
} from '../protection/store-load-observer';
import type { Metrics } from './metrics';

/** How calls get through to the store. */
export class StoreLoadMetrics implements StoreLoadObserver {
  private readonly refused;
  private readonly transitions;
  private readonly state;
  private readonly queue;

  constructor(private readonly metrics: Metrics) {
    this.refused = metrics.counter('osp_store_queue_refused_total');
    this.transitions = metrics.counter('osp_store_breaker_transitions_total');
    this.state = metrics.gauge('osp_store_breaker_state');
    this.queue = metrics.gauge('osp_store_queue_calls');
    for (const to of BREAKER_STATES) this.transitions.inc({ to }, 0);
  }

  queueOpened(figures: () => QueueFigures): void {
    this.metrics.collectFirst(() => {
      const { waiting, underWay } = figures();
      this.queue.set({ state: 'waiting' }, waiting);
      this.queue.set({ state: 'under_way' }, underWay);
    });
  }

  turnRefused(): void {
    this.refused.inc();
  }

  breakerOpened(current: () => BreakerState): void {
    this.metrics.collectFirst(() => {
      const now = current();
      for (const state of BREAKER_STATES) this.state.set({ state }, state === now ? 1 : 0);
    });
  }

  breakerBecame(to: BreakerState): void {
    this.transitions.inc({ to });
  }
}
