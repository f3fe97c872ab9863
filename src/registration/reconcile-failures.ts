import type { KubernetesFailure } from '../kubernetes/kubernetes-api';
import type { InformerDeps } from '../kubernetes/informer-options';

/** What goes on is said again after so long. */
const SAY_AGAIN_MS = 300_000;
const MAX_REASONS = 20;
/** So many lines a minute tell of single objects; at the first start there may be thousands. */
const MAX_KEPT = 20;
const KEPT_WINDOW_MS = 60_000;

/** What cannot be registered, or is registered by others too, and what the log heard of it: a state is told once, however many objects share it. */
export class ReconcileFailures {
  private readonly failures = new Map<string, KubernetesFailure>();
  private readonly toldAtMs = new Map<string, number>();
  private readonly conflicts = new Set<string>();
  private kept = { sinceMs: -Infinity, count: 0 };

  constructor(
    private readonly plural: string,
    private readonly deps: Pick<InformerDeps, 'log' | 'time'>,
  ) {}

  keys(): Iterable<string> {
    return this.failures.keys();
  }

  begin(key: string, failure: KubernetesFailure): void {
    this.failures.set(key, failure);
    const { message, reason, status, field } = failure;
    const nowMs = this.deps.time.nowMs();
    const toldAtMs = this.toldAtMs.get(message);
    if (toldAtMs === undefined && this.toldAtMs.size >= MAX_REASONS) return;
    if (toldAtMs !== undefined && nowMs - toldAtMs < SAY_AGAIN_MS) return;
    this.toldAtMs.set(message, nowMs);
    const { plural } = this;
    this.deps.log('warn', 'registration_failed', { plural, object: key, reason, status, field });
  }

  /** It is as it should be, or not wanted any more. */
  over(key: string): void {
    if (!this.failures.delete(key) || this.failures.size > 0) return;
    this.toldAtMs.clear();
    this.deps.log('info', 'registration_recovered', { plural: this.plural });
  }

  wrote(key: string, how: 'made' | 'mended'): void {
    const nowMs = this.deps.time.nowMs();
    const { plural } = this;
    if (nowMs - this.kept.sinceMs > KEPT_WINDOW_MS) {
      const leftOff = this.kept.count - MAX_KEPT;
      if (leftOff > 0) this.deps.log('info', 'registration_reconciled_omitted', { plural, leftOff });
      this.kept = { sinceMs: nowMs, count: 0 };
    }
    this.kept.count += 1;
    if (this.kept.count <= MAX_KEPT)
      this.deps.log('info', 'registration_reconciled', { plural, object: key, how });
  }

  conflict(key: string, isThere: boolean): void {
    if (!isThere) this.conflicts.delete(key);
    else if (!this.conflicts.has(key)) {
      this.conflicts.add(key);
      this.deps.log('warn', 'registration_conflict', { plural: this.plural, object: key });
    }
  }

  /** @param failing how many of the `wanted` objects are not as they should be */
  sentences(failing: number, wanted: number): readonly string[] {
    const [latest] = [...this.failures.values()].slice(-1);
    const { plural, conflicts } = this;
    return [
      ...(failing === 0 || latest === undefined
        ? []
        : [
            `The registration fails for ${failing} of ${wanted} ${plural} (${latest.message}): registration_failed in the log names one.`,
          ]),
      ...(conflicts.size === 0
        ? []
        : [
            `Another provider of the same data is registered for ${conflicts.size} user(s): registration_conflict in the log names it.`,
          ]),
    ];
  }
}
