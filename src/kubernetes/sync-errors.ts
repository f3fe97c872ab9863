import type { MonotonicTime } from '../time/clock';
import type { KubernetesFailure } from './kubernetes-api';
import type { InformerDeps, LastingSyncError, ObservedWatch, WatchObserver } from './informer-options';

/** Tells when something has become too old to count, although nobody looks at it, and when it counts again. */
export class AgeAlarm {
  private cancel: (() => void) | undefined;
  private isTooOld = false;

  constructor(
    private readonly maxAgeMs: number,
    private readonly time: MonotonicTime,
    private readonly ageMs: () => number,
    private readonly tell: (isTooOld: boolean) => void,
  ) {}

  /** It is as young as its age says now. */
  renewed(): void {
    if (this.isTooOld) {
      this.isTooOld = false;
      this.tell(false);
    }
    this.cancel ??= this.arm();
  }

  stop(): void {
    this.cancel?.();
  }

  /** Armed once for many renewals: at its time the age is looked at, and most often it is young. */
  private arm(): () => void {
    return this.time.after(this.maxAgeMs - this.ageMs() + 1, () => {
      this.isTooOld = this.ageMs() > this.maxAgeMs;
      this.cancel = this.isTooOld ? undefined : this.arm();
      if (this.isTooOld) this.tell(true);
    });
  }
}

/** A failure that goes on is said again after so long. */
const SAY_AGAIN_MS = 300_000;
/** One that fails may be chance. */
const LASTING = 2;

/** What goes wrong with one collection, until the next proof, and what the log heard of it. */
export class SyncErrors {
  private latest: KubernetesFailure | undefined;
  private refused: KubernetesFailure | undefined;
  private refusals = 0;
  private failedLists = 0;
  private said: { readonly what: string; readonly atMs: number } | undefined;

  constructor(
    private readonly path: string,
    private readonly deps: Pick<InformerDeps, 'time' | 'log'>,
  ) {}

  /** The latest failure since the last proof, in a few words. */
  get message(): string | undefined {
    return this.latest?.message;
  }

  /** A list between refused watches changes nothing of that. */
  get lasting(): LastingSyncError | undefined {
    if (this.failedLists >= LASTING && this.latest !== undefined) return { of: 'list', failure: this.latest };
    if (this.refusals >= LASTING && this.refused !== undefined) return { of: 'watch', failure: this.refused };
    return undefined;
  }

  /** @param what `refused watch`: the server answered one with a refusal, before it could have told anything */
  failed(failure: KubernetesFailure, what: 'list' | 'refused watch' | 'watch', waitMs: number): void {
    this.latest = failure;
    if (what === 'list') this.failedLists += 1;
    if (what === 'refused watch') {
      this.refused = failure;
      this.refusals += 1;
    }
    this.say(failure, waitMs);
  }

  /** A list alone proves nothing of the watches, which may fail one by one. */
  listed(): void {
    this.failedLists = 0;
    this.latest = this.refusals >= LASTING ? this.refused : undefined;
  }

  /** By a watch. */
  over(): void {
    this.latest = undefined;
    this.refusals = 0;
    this.failedLists = 0;
    if (this.said === undefined) return;
    this.said = undefined;
    this.deps.log('info', 'kubernetes_watch_recovered', { path: this.path });
  }

  /** Each failure once, and again when it goes on: an outage of a night is no million lines. */
  private say({ message, reason, status }: KubernetesFailure, waitMs: number): void {
    const atMs = this.deps.time.nowMs();
    if (this.said?.what === message && atMs - this.said.atMs < SAY_AGAIN_MS) return;
    this.said = { what: message, atMs };
    const { path } = this;
    this.deps.log('warn', 'kubernetes_watch_failed', { path, reason, status, waitMs: Math.round(waitMs) });
  }
}

/** What an operator should mend of the watches. It passes on to `next`, which observes them too. */
export class SyncProblems implements WatchObserver {
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

function sentence(resource: string, { of, failure }: LastingSyncError): string {
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
