import type { LockOutcome, RedisObserver } from '../redis/redis-observer';
import type { Metrics } from './metrics';

/** Whether replicas can speak to each other, and how they take turns. */
export class RedisMetrics implements RedisObserver {
  private readonly up;
  private readonly locks;

  constructor(metrics: Metrics) {
    this.up = metrics.gauge('osp_redis_up');
    this.locks = metrics.counter('osp_scope_locks_total');
  }

  connected(isUp: boolean): void {
    this.up.set(isUp ? 1 : 0);
  }

  locked(outcome: LockOutcome): void {
    this.locks.inc({ outcome });
  }
}
