import { AuditUnavailable } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import type { MonotonicTime } from '../time/clock';
import { waitFor } from '../time/deadline';
import type { AuditChain, SecretPlace } from './audit-chain';
import { type AuditRecord, type AuditSink, AuditSinkFailed } from './audit-sink';
import { CountedRefusals } from './counted-refusals';

/** How long refusals are counted until their number is recorded. */
const RECORD_COUNTS_AFTER_MS = 10_000;

/** Observes whether records are taken. */
export interface AuditObserver {
  recorded(wasTaken: boolean): void;
}

interface AuditTrailDeps {
  readonly log: LogEvent;
  readonly observer: AuditObserver | undefined;
  readonly time: MonotonicTime;
}

/** Has records taken in time, or has their operations refused. */
export class AuditTrail {
  /** Why records are not taken; undefined while they are. */
  #failure: string | undefined;
  readonly #refusals: CountedRefusals;
  #cancelCounts: (() => void) | undefined;

  constructor(
    private readonly sink: AuditSink,
    private readonly chain: AuditChain,
    private readonly deadlineMs: number,
    private readonly deps: AuditTrailDeps,
  ) {
    this.#refusals = new CountedRefusals(deps.time);
  }

  /**
   * Resolves once the sink has taken the record. One that is late may still be taken after its operation was refused.
   * @throws AuditUnavailable (503)
   */
  async take(record: AuditRecord): Promise<void> {
    try {
      const late = (): Error => new AuditSinkFailed('deadline');
      await waitFor(this.sink.append(record), { maxMs: this.deadlineMs, late });
    } catch (error: unknown) {
      this.#failed(error instanceof AuditSinkFailed ? error.failure : 'unknown');
      throw new AuditUnavailable();
    }
    this.deps.observer?.recorded(true);
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.deps.log('info', 'audit_recovered');
  }

  /**
   * Takes the record of a refusal whose number nobody bounds, or counts it where there are too many. While no records are taken
   * each is tried, since an answer without a record must not leave.
   * @throws AuditUnavailable (503)
   */
  async takeRefusal(record: AuditRecord): Promise<void> {
    const how = this.#failure === undefined ? this.#refusals.admit(record) : 'recorded';
    if (how === 'recorded') return this.take(record);
    this.#takeCountsLater();
    if (how === 'counted') return;
    await this.take({ ...record, suppressing: true });
    this.#refusals.announced(record);
  }

  valueMac(place: SecretPlace, value: string): string {
    return this.chain.valueMac(place, value);
  }

  /** Returns what an operator should fix, for readiness. */
  problems(): readonly string[] {
    if (this.#failure === undefined) return [];
    return [
      `The audit trail takes no records (${this.#failure}): operations are refused with AUDIT_UNAVAILABLE.`,
    ];
  }

  async close(): Promise<void> {
    this.#cancelCounts?.();
    await this.#takeCounts();
    await waitFor(this.sink.close(), { maxMs: this.deadlineMs }).catch(() => undefined);
  }

  /** Records what was counted; what is not taken is counted further. */
  async #takeCounts(): Promise<void> {
    this.#cancelCounts = undefined;
    const counts = this.#refusals.takeCounts(new Date().toISOString());
    const taken = await Promise.allSettled(counts.map((record) => this.take(record)));
    const lost = counts.filter((_, at) => taken[at]?.status === 'rejected');
    for (const record of lost) this.#refusals.putBack(record);
    if (lost.length > 0) this.#takeCountsLater();
  }

  #takeCountsLater(): void {
    this.#cancelCounts ??= this.deps.time.after(RECORD_COUNTS_AFTER_MS, () => void this.#takeCounts());
  }

  #failed(failure: string): void {
    this.deps.observer?.recorded(false);
    if (failure === this.#failure) return;
    this.#failure = failure;
    this.deps.log('error', 'audit_unavailable', { cause: failure });
  }
}
