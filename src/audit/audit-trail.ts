import { AuditUnavailable } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import { waitFor } from '../time/deadline';
import type { AuditChain, SecretPlace } from './audit-chain';
import { type AuditRecord, type AuditSink, AuditSinkFailed } from './audit-sink';

/** Observes whether records are taken. */
export interface AuditObserver {
  recorded(wasTaken: boolean): void;
}

interface AuditTrailDeps {
  readonly log: LogEvent;
  readonly observer: AuditObserver | undefined;
}

/** Has records taken in time, or has their operations refused. */
export class AuditTrail {
  /** Why records are not taken; undefined while they are. */
  #failure: string | undefined;

  constructor(
    private readonly sink: AuditSink,
    private readonly chain: AuditChain,
    private readonly deadlineMs: number,
    private readonly deps: AuditTrailDeps,
  ) {}

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
    await waitFor(this.sink.close(), { maxMs: this.deadlineMs }).catch(() => undefined);
  }

  #failed(failure: string): void {
    this.deps.observer?.recorded(false);
    if (failure === this.#failure) return;
    this.#failure = failure;
    this.deps.log('error', 'audit_unavailable', { cause: failure });
  }
}
