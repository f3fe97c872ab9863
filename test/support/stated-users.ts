import { UserPresence } from '../../src/authn/caller';

/** The users of the cluster, as a test states them; by default nobody. */
export class StatedUsers extends UserPresence {
  private readonly listeners: ((user: string) => void)[] = [];
  private readonly here = new Set<string>();

  isHere(user: string): boolean {
    return this.here.has(user);
  }

  onGone(listener: (user: string) => void): void {
    this.listeners.push(listener);
  }

  come(user: string): void {
    this.here.add(user);
  }

  go(user: string): void {
    this.here.delete(user);
    for (const listener of this.listeners) listener(user);
  }
}
