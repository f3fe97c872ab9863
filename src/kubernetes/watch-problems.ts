import type { LastingTrouble, ObservedWatch, WatchObserver } from './watched-collection-options';

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
    const found = [...this.watches].flatMap(({ path, lasting }) =>
      lasting === undefined ? [] : [sentence(path.slice(path.lastIndexOf('/') + 1), lasting)],
    );
    return [...new Set(found)];
  }
}

const GROWS_OLD = 'what is known of the cluster grows old and counts for GRANTS_MAX_AGE_S at most';

function sentence(resource: string, { of, failure }: LastingTrouble): string {
  const { message, status } = failure;
  if (of === 'watch') {
    return `The Kubernetes API refuses to let us watch ${resource} (${message}): changes are learnt from lists, some seconds late.`;
  }
  if (status === undefined) return `The Kubernetes API does not answer (${message}): ${GROWS_OLD}.`;
  if (status === 401) {
    return `The Kubernetes API does not accept our own token (${message}): ${GROWS_OLD}. Where our ServiceAccount was made anew, start the pods anew.`;
  }
  return `The Kubernetes API refuses to let us list ${resource} (${message}): ${GROWS_OLD}.`;
}
