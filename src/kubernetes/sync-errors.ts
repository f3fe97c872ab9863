import type { MonotonicTime } from '../time/clock';
import type { KubernetesFailure } from './kubernetes-api';
import type { InformerDeps, LastingSyncError, ObservedWatch, WatchObserver } from './informer-options';

/** A failure that persists is logged again after this time. */
const LOG_AGAIN_MS = 300_000;
/** A failure persists once it has happened so often in a row. */
const LASTING_COUNT = 2;
/** After so many 404 in a row objects that were there are gone: a server that has just started may not know all kinds yet. */
const ABSENT_COUNT = 3;

/** The failures of one informer since its last sync. It logs each of them once. */
export class SyncErrors {
  private latest: KubernetesFailure | undefined;
  private refused: KubernetesFailure | undefined;
  private refusals = 0;
  private failedLists = 0;
  private absences = 0;
  private logged: { readonly message: string; readonly atMs: number } | undefined;

  constructor(
    private readonly path: string,
    private readonly deps: Pick<InformerDeps, 'time' | 'log'>,
  ) {}

  /** The latest failure since the last sync, in a few words. */
  get message(): string | undefined {
    return this.latest?.message;
  }

  /** The failure that persists. Lists between refused watches do not end it. */
  get lasting(): LastingSyncError | undefined {
    if (this.failedLists >= LASTING_COUNT && this.latest !== undefined)
      return { of: 'list', failure: this.latest };
    if (this.refusals >= LASTING_COUNT && this.refused !== undefined)
      return { of: 'watch', failure: this.refused };
    return undefined;
  }

  /** Returns whether the failure says that the server does not have this kind of objects. @param wasEmpty whether there were none before */
  isAbsent({ status }: KubernetesFailure, wasEmpty: boolean): boolean {
    this.absences = status === 404 ? this.absences + 1 : 0;
    return this.absences >= (wasEmpty ? 1 : ABSENT_COUNT);
  }

  /** @param what `refused watch`: the server refused a watch before it could have sent an event */
  failed(failure: KubernetesFailure, what: 'list' | 'refused watch' | 'watch', waitMs: number): void {
    this.latest = failure;
    if (what === 'list') this.failedLists += 1;
    if (what === 'refused watch') {
      this.refused = failure;
      this.refusals += 1;
    }
    this.logFailure(failure, waitMs);
  }

  /** Ends the failures of lists; those of watches go on, which may all fail. */
  listed(): void {
    this.failedLists = 0;
    this.absences = 0;
    this.latest = this.refusals >= LASTING_COUNT ? this.refused : undefined;
  }

  /** Ends all failures, since a watch works. */
  recovered(): void {
    this.latest = undefined;
    this.refusals = 0;
    this.failedLists = 0;
    if (this.logged === undefined) return;
    this.logged = undefined;
    this.deps.log('info', 'kubernetes_watch_recovered', { path: this.path });
  }

  /** Logs each failure once, and again while it persists: an outage of a night must not write a million lines. */
  private logFailure({ message, reason, status }: KubernetesFailure, waitMs: number): void {
    const atMs = this.deps.time.nowMs();
    if (this.logged?.message === message && atMs - this.logged.atMs < LOG_AGAIN_MS) return;
    this.logged = { message, atMs };
    const { path } = this;
    this.deps.log('warn', 'kubernetes_watch_failed', { path, reason, status, waitMs: Math.round(waitMs) });
  }
}

/** Calls back when an age exceeds its maximum, although nobody reads it, and when it no longer does. */
export class AgeAlarm {
  private cancel: (() => void) | undefined;
  private isTooOld = false;

  constructor(
    private readonly maxAgeMs: number,
    private readonly time: MonotonicTime,
    private readonly ageMs: () => number,
    private readonly onChange: (isTooOld: boolean) => void,
  ) {}

  /** To be called when the age was renewed. */
  renewed(): void {
    if (this.isTooOld) {
      this.isTooOld = false;
      this.onChange(false);
    }
    this.cancel ??= this.arm();
  }

  stop(): void {
    this.cancel?.();
  }

  /** Sets one timer for many renewals; when it fires, the age has most often been renewed. */
  private arm(): () => void {
    return this.time.after(this.maxAgeMs - this.ageMs() + 1, () => {
      this.isTooOld = this.ageMs() > this.maxAgeMs;
      this.cancel = this.isTooOld ? undefined : this.arm();
      if (this.isTooOld) this.onChange(true);
    });
  }
}

/** Describes what an operator should fix so that the watches work. It forwards everything to `next`, which observes them too. */
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

  /** Returns one sentence for each kind of resource, without namespaces: readiness is public. */
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
