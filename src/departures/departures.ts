import type { Clock } from '../clock/clock';
import type { MonotonicTime } from '../clock/monotonic-time';
import type { UserPresence } from '../identity/user-presence';
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
  /** Undefined where nobody can tell of users: there nothing is removed. */
  readonly users: UserPresence | undefined;
}

/** The parts of this room, put together. */
export function departures({ store, clock, time, log, users }: DeparturesOptions): {
  readonly departedUsers: DepartedUsers;
  readonly background: BackgroundRemovals;
} {
  const orders = new RemovalOrders(store, clock, log);
  const around = { time, log, nowMs: () => clock.nowMs(), random: Math.random };
  const worker = new RemovalWorker(orders, new UserRemoval(store, orders, users, log), around);
  users?.onGone((user) => worker.wakeIfDue(user));
  return {
    departedUsers: new DepartedUsers(orders, worker),
    background: new BackgroundRemovals(worker, users !== undefined),
  };
}
