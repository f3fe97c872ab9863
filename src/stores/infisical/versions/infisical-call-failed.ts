import { API_VERSIONS, type ApiVersion } from './api-version';
import type { CallName, ApiVersionName, CallLabel } from './calls';
import { classifyFailure, recordedReason, type FailureReason } from './failure-reason';

/** What one answer means on each generation. */
type ReasonByVersion = Readonly<Record<ApiVersionName, FailureReason>>;

/** What a server of another generation looks like to one who takes it for this one. */
const STRANGE: ReadonlySet<FailureReason> = new Set(['routeNotFound', 'notUnderstood']);
/** So does this, where a recorded case of another generation fits the answer and means something else there. */
const AMBIGUOUS: ReadonlySet<FailureReason> = new Set([
  'tokenDead',
  'permissionDenied',
  'invalidRequest',
  'serverFailure',
]);

/** How others would read a failure, where it makes it doubtful that the server speaks `dialect`; else undefined. */
export function reasonInOtherVersions(
  apiVersion: ApiVersion,
  call: CallName,
  { status, body }: { readonly status: number; readonly body: unknown },
): ReasonByVersion | undefined {
  const own = classifyFailure(apiVersion.failures, call, status, body);
  const meansElse = ({ failures }: ApiVersion) =>
    (recordedReason(failures, call, status, body) ?? own) !== own;
  const doubtful = STRANGE.has(own) || (AMBIGUOUS.has(own) && Object.values(API_VERSIONS).some(meansElse));
  if (!doubtful) return undefined;
  const read = (name: ApiVersionName) => classifyFailure(API_VERSIONS[name].failures, call, status, body);
  return { fork: read('fork'), v3: read('v3'), v4: read('v4') };
}

/** What is known of the call that failed; all of it may be logged. */
interface CallFailure {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
  readonly reason: FailureReason;
  readonly status?: number;
  readonly retryAfterMs?: number;
  /** Infisical's words about a write that it refused; nothing of what was sent is in them. */
  readonly said?: string;
  /** Where the answer makes it doubtful which server it is. */
  readonly reasonByVersion?: ReasonByVersion;
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

  get mayBeAnotherVersion(): boolean {
    return this.#failure.reasonByVersion !== undefined;
  }

  /** The same failure as it is meant where the server turned out to speak this dialect. */
  readAs(apiVersion: ApiVersionName): InfisicalCallFailed {
    const reason = this.#failure.reasonByVersion?.[apiVersion] ?? this.reason;
    return new InfisicalCallFailed({ ...this.#failure, reason });
  }
}

export function failedBecause(
  error: unknown,
  ...reasons: readonly FailureReason[]
): error is InfisicalCallFailed {
  return error instanceof InfisicalCallFailed && reasons.includes(error.reason);
}

/** Of a call that had no time left: another caller may have more. */
export function ranOutOfTime(error: unknown): boolean {
  return failedBecause(error, 'rateLimited', 'outOfTime');
}
