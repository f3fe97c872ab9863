import type { RemovalOrder } from './removal-order';

/** All orders as they were at one moment. */
export class OrderBook {
  constructor(private readonly orders: readonly RemovalOrder[]) {}

  /** The users who are yet to be removed, the one who waits longest first. */
  usersDue(): readonly string[] {
    const waiting = this.orders.filter((order) => this.isDue(order));
    waiting.sort((a, b) => a.requestedAtMs - b.requestedAtMs);
    return [...new Set(waiting.map(({ user }) => user))];
  }

  dueOf(user: string): readonly RemovalOrder[] {
    return this.of(user).filter((order) => this.isDue(order));
  }

  /** The one that will be kept for the longest. */
  lastDoneOf(user: string): RemovalOrder | undefined {
    const done = this.of(user).filter(({ doneAtMs }) => doneAtMs !== undefined);
    return done.sort((a, b) => (b.doneAtMs ?? 0) - (a.doneAtMs ?? 0))[0];
  }

  /** Orders that came to light only after the user was there again. */
  overtaken(): readonly RemovalOrder[] {
    return this.orders.filter((order) => order.doneAtMs === undefined && this.isOvertaken(order));
  }

  doneBefore(timeMs: number): readonly RemovalOrder[] {
    return this.orders.filter(({ doneAtMs }) => doneAtMs !== undefined && doneAtMs < timeMs);
  }

  private of(user: string): readonly RemovalOrder[] {
    return this.orders.filter((order) => order.user === user);
  }

  private isDue(order: RemovalOrder): boolean {
    return order.doneAtMs === undefined && !this.isOvertaken(order);
  }

  private isOvertaken({ user, requestedAtMs }: RemovalOrder): boolean {
    return this.of(user).some(({ userBackAtMs = -Infinity }) => userBackAtMs > requestedAtMs);
  }
}
