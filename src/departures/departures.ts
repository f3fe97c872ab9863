import type { Clock } from '../clock/clock';
import type { MonotonicTime } from '../clock/monotonic-time';
import type { LogEvent } from '../logging/log';
import type { SecretStore } from '../secrets/secret-store';
import { BackgroundRemovals } from './background-removals';
import { DepartedUsers } from './departed-users';
import { RemovalOrders } from './removal-orders';
import { RemovalWorker } from './removal-worker';
import { UserRemoval } from './user-removal';

export interface DeparturesOptions {
  readonly store: SecretStore;
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly enabled: boolean;
}

/** The parts of this room, put together. */
export function departures({ store, clock, time, log, enabled }: DeparturesOptions): {
  readonly departedUsers: DepartedUsers;
  readonly background: BackgroundRemovals;
} {
  const orders = new RemovalOrders(store, clock, log);
  const around = { time, log, nowMs: () => clock.nowMs(), random: Math.random };
  const worker = new RemovalWorker(orders, new UserRemoval(store, orders, log), around);
  return {
    departedUsers: new DepartedUsers(orders, worker),
    background: new BackgroundRemovals(worker, enabled),
  };
}
