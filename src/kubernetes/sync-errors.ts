import { BackOff, type MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { KubernetesFailure } from './kubernetes-api';

/** The state of one informer, as it is observed. It is in the set of `InformerDeps` from its start until its stop. */
export interface ObservedWatch {
  readonly path: string;
  /** Time since the server last proved that the mirror is complete; Infinity before the first list. */
  ageMs(): number;
  /** False from a failure until the next sync, and before the first list. */
  readonly up: boolean;
  /** The failure that repeats; undefined where none does. */
  readonly lasting: LastingSyncError | undefined;
}

export interface LastingSyncError {
  /** `watch`: each watch is refused, but lists are answered; `list`: lists fail too, so that the mirror is outdated. */
  readonly of: 'list' | 'watch';
  readonly failure: KubernetesFailure;
}

const BACK_OFF = { firstMs: 1_000, maxMs: 15_000 };
/** The longest back-off while the server does not answer, or fails itself: its return must not be missed. */
const MAX_BACK_OFF_IN_OUTAGE_MS = 3_000;
/** A failure that persists is logged again after this time. */
const LOG_AGAIN_MS = 300_000;
/** A failure persists once it has happened so often in a row. */
const LASTING_COUNT = 2;
/** After so many 404 in a row objects that were there are gone: a server that has just started may not know all kinds yet. */
const ABSENT_COUNT = 3;

/** The failures of one informer since its last sync, and how long it waits after each. It logs each of them once. */
export class SyncErrors {
  private latest: KubernetesFailure | undefined;
  private refused: KubernetesFailure | undefined;
  private refusals = 0;
  private failedLists = 0;
  private absences = 0;
  private logged: { readonly message: string; readonly atMs: number } | undefined;
  private answered = true;
  private readonly backOff: BackOff;

  constructor(
    private readonly path: string,
    private readonly deps: {
      readonly time: MonotonicTime;
      readonly log: LogEvent;
      readonly random?: () => number;
    },
  ) {
    this.backOff = new BackOff({ ...BACK_OFF, random: deps.random ?? Math.random });
  }

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

  /**
   * Returns how long to wait.
   * @param what `refused watch`: the server refused a watch before it could have sent an event
   * @param listTookMs each refused watch means another list: lists must not take more than half of the time
   */
  failed(failure: KubernetesFailure, what: 'list' | 'refused watch' | 'watch', listTookMs: number): number {
    const { status, retryAfterMs } = failure;
    this.latest = failure;
    if (what === 'list') this.failedLists += 1;
    if (what === 'refused watch') {
      this.refused = failure;
      this.refusals += 1;
    }
    // A server that answers again is not delayed by the back-off of its outage.
    if (status !== undefined && !this.answered) this.backOff.reset();
    this.answered = status !== undefined;
    const isOutage = status === undefined || status === 429 || status >= 500;
    const maxMs = isOutage ? MAX_BACK_OFF_IN_OUTAGE_MS : BACK_OFF.maxMs;
    const waitMs = Math.max(this.backOff.nextMs(retryAfterMs, maxMs), listTookMs);
    this.logFailure(failure, waitMs);
    return waitMs;
  }

  /** Returns how long to wait after a watch that ended regularly and too soon. */
  waitMsAfterShortWatch(): number {
    return this.backOff.nextMs();
  }

  /** Ends the failures of lists; those of watches go on, which may all fail. */
  listed(): void {
    this.failedLists = 0;
    this.absences = 0;
    this.latest = this.refusals >= LASTING_COUNT ? this.refused : undefined;
  }

  /** Ends all failures, since a watch works. */
  recovered(): void {
    this.backOff.reset();
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

/**
 * Describes what an operator should fix so that the watches work, in one sentence for each kind of resource, without
 * namespaces: readiness is public.
 */
export function watchProblems(watches: Iterable<ObservedWatch>): readonly string[] {
  const found = [...watches].flatMap(({ path, lasting }) =>
    lasting === undefined ? [] : [sentence(path.slice(path.lastIndexOf('/') + 1), lasting)],
  );
  return [...new Set(found)];
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
