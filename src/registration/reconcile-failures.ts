import type { KubernetesFailure } from '../kubernetes/kubernetes-api';
import type { InformerDeps } from '../kubernetes/informer';

/** A failure that persists is logged again after this time. */
const LOG_AGAIN_MS = 300_000;
const MAX_REASONS = 20;
/** How many writes are logged in a minute; at the first start there may be thousands. */
const MAX_LOGGED_WRITES = 20;
const LOG_WINDOW_MS = 60_000;

/** The objects that cannot be registered, or are registered by others too. A failure is logged once, however many objects share it. */
export class ReconcileFailures {
  private readonly failures = new Map<string, KubernetesFailure>();
  private readonly loggedAtMs = new Map<string, number>();
  private readonly conflicts = new Set<string>();
  private logWindow = { sinceMs: -Infinity, writes: 0 };

  constructor(
    private readonly plural: string,
    private readonly deps: Pick<InformerDeps, 'log' | 'time'>,
  ) {}

  keys(): Iterable<string> {
    return this.failures.keys();
  }

  failed(key: string, failure: KubernetesFailure): void {
    this.failures.set(key, failure);
    const { message, reason, status, field } = failure;
    const nowMs = this.deps.time.nowMs();
    const loggedAtMs = this.loggedAtMs.get(message);
    if (loggedAtMs === undefined && this.loggedAtMs.size >= MAX_REASONS) return;
    if (loggedAtMs !== undefined && nowMs - loggedAtMs < LOG_AGAIN_MS) return;
    this.loggedAtMs.set(message, nowMs);
    const { plural } = this;
    this.deps.log('warn', 'registration_failed', { plural, object: key, reason, status, field });
  }

  /** Ends the failure of an object that is synced, or no longer wanted. */
  recovered(key: string): void {
    if (!this.failures.delete(key) || this.failures.size > 0) return;
    this.loggedAtMs.clear();
    this.deps.log('info', 'registration_recovered', { plural: this.plural });
  }

  wrote(key: string, how: 'created' | 'patched' | 'removed'): void {
    const nowMs = this.deps.time.nowMs();
    const { plural } = this;
    if (nowMs - this.logWindow.sinceMs > LOG_WINDOW_MS) {
      const leftOff = this.logWindow.writes - MAX_LOGGED_WRITES;
      if (leftOff > 0) this.deps.log('info', 'registration_reconciled_omitted', { plural, leftOff });
      this.logWindow = { sinceMs: nowMs, writes: 0 };
    }
    this.logWindow.writes += 1;
    if (this.logWindow.writes <= MAX_LOGGED_WRITES)
      this.deps.log('info', 'registration_reconciled', { plural, object: key, how });
  }

  conflict(key: string, isConflict: boolean): void {
    if (!isConflict) this.conflicts.delete(key);
    else if (!this.conflicts.has(key)) {
      this.conflicts.add(key);
      this.deps.log('warn', 'registration_conflict', { plural: this.plural, object: key });
    }
  }

  /** @param failing how many of the `wanted` objects are not synced */
  sentences(failing: number, wanted: number): readonly string[] {
    const latest = [...this.failures.values()].at(-1);
    const { plural, conflicts } = this;
    const sentences: string[] = [];
    if (failing > 0 && latest !== undefined)
      sentences.push(
        `The registration fails for ${failing} of ${wanted} ${plural} (${latest.message}): registration_failed in the log names one.`,
      );
    if (conflicts.size > 0)
      sentences.push(
        `Another provider of the same data is registered for ${conflicts.size} user(s): registration_conflict in the log names it.`,
      );
    return sentences;
  }
}
