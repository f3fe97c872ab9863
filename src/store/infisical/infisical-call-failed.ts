import type { CallLabel, DialectName } from './dialect';
import type { Readings } from './dialect-doubt';
import type { FailureReason } from './failure-reason';

/** What is known of the call that failed; all of it may be logged. */
export interface CallFailure {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
  readonly reason: FailureReason;
  readonly status?: number;
  readonly retryAfterMs?: number;
  /** Infisical's words about a write that it refused; nothing of what was sent is in them. */
  readonly said?: string;
  /** Where the answer makes it doubtful which server it is. */
  readonly readings?: Readings;
}

/**
 * A call to Infisical that did not succeed. Private to this folder: the store turns it into a DomainError.
 * It holds no header, body, address or foreign error, so that nothing secret can travel with it.
 */
export class InfisicalCallFailed extends Error {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
  readonly reason: FailureReason;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly #failure: CallFailure;

  constructor(failure: CallFailure) {
    super(`${failure.method} ${failure.pathTemplate}: ${failure.reason}`);
    this.#failure = failure;
    this.name = 'InfisicalCallFailed';
    this.call = failure.call;
    this.method = failure.method;
    this.pathTemplate = failure.pathTemplate;
    this.reason = failure.reason;
    this.status = failure.status;
    this.retryAfterMs = failure.retryAfterMs;
  }

  get said(): string | undefined {
    return this.#failure.said;
  }

  get isDoubtful(): boolean {
    return this.#failure.readings !== undefined;
  }

  /** The same failure as it is meant where the server turned out to speak this dialect. */
  readAs(dialect: DialectName): InfisicalCallFailed {
    const reason = this.#failure.readings?.[dialect] ?? this.reason;
    return new InfisicalCallFailed({ ...this.#failure, reason });
  }
}

export function failedBecause(
  error: unknown,
  ...reasons: readonly FailureReason[]
): error is InfisicalCallFailed {
  return error instanceof InfisicalCallFailed && reasons.includes(error.reason);
}
