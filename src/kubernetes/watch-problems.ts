import type { ObservedWatch, WatchObserver } from './watched-collection-options';

/** What an operator should mend of the watches. It passes on to `next`, which observes them too. */
export class WatchProblems implements WatchObserver {
  private readonly watches = new Set<ObservedWatch>();

  constructor(private readonly next?: WatchObserver) {}

  watchBegins(watch: ObservedWatch): void {
    this.watches.add(watch);
    this.next?.watchBegins(watch);
  }

  watchEnds(watch: ObservedWatch): void {
    this.watches.delete(watch);
    this.next?.watchEnds(watch);
  }

  /** One sentence for each kind of resource: whose namespaces they are is no matter of readiness. */
  sentences(): readonly string[] {
    const found = [...this.watches].flatMap(({ path, refusal }) =>
      refusal === undefined ? [] : [sentence(path.slice(path.lastIndexOf('/') + 1), refusal)],
    );
    return [...new Set(found)];
  }
}

function sentence(resource: string, refusal: string): string {
  return `The Kubernetes API refuses to let us watch ${resource} (${refusal}): changes are learnt from lists, some seconds late.`;
}
