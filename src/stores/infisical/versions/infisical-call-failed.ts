import { API_VERSIONS, type ApiVersion } from './api-version';
import {
  type ApiVersionName,
  type CallLabel,
  type CallName,
  classifyFailure,
  type FailureReason,
  meaningOf,
  recordedReason,
  type WriteOutcome,
} from './calls';

/** A failed call; every field may be logged. */
export interface CallFailure {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
  readonly reason: FailureReason;
  readonly status?: number | undefined;
  readonly retryAfterMs?: number | undefined;
  /** How long the server had for a call that did not end in time. */
  readonly hadMs?: number;
  /** Infisical's message about a write that it refused; nothing of what was sent is in it. */
  readonly said?: string | undefined;
  /** Set where the answer may come from a server of another API version. */
  readonly reasonByVersion?: ReasonByVersion | undefined;
}

/**
 * A call to Infisical failed. Private to this folder: the store turns it into a DomainError.
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

  get hadMs(): number | undefined {
    return this.#failure.hadMs;
  }

  get said(): string | undefined {
    return this.#failure.said;
  }

  /** What became of the call, if it is a write. A login and a probe change nothing. */
  get writeOutcome(): WriteOutcome {
    if (this.call === 'login' || this.call === 'probe') return 'notApplied';
    if (this.reason === 'notInfisical' && (this.status ?? 0) >= 400) return 'finished';
    return meaningOf(this.reason).write;
  }

  get mayBeAnotherVersion(): boolean {
    return this.#failure.reasonByVersion !== undefined;
  }

  /** Returns the same failure, with the reason that the answer means in this API version. */
  inVersion(apiVersion: ApiVersionName): InfisicalCallFailed {
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

/** Returns whether the call may have been carried out, or may still be. */
export function leavesIndeterminate(error: unknown): boolean {
  return error instanceof InfisicalCallFailed && error.writeOutcome !== 'notApplied';
}

/** Returns whether a call failed because it had no time left: another caller may have more. */
export function ranOutOfTime(error: unknown): boolean {
  return failedBecause(error, 'rateLimited', 'outOfTime');
}

type ReasonByVersion = Readonly<Record<ApiVersionName, FailureReason>>;

/** Reasons that a server of another API version causes. */
const UNFITTING: ReadonlySet<FailureReason> = new Set(['routeNotFound', 'notUnderstood']);
/** Reasons that it may cause, where a rule of another version matches the answer and gives another reason. */
const AMBIGUOUS: ReadonlySet<FailureReason> = new Set([
  'tokenDead',
  'permissionDenied',
  'invalidRequest',
  'serverFailure',
]);

/** Returns what an answer means in each API version, where the server may be of another version than `apiVersion`; otherwise undefined. */
export function reasonsByVersion(
  apiVersion: ApiVersion,
  call: CallName,
  { status, body }: { readonly status: number; readonly body: unknown },
): ReasonByVersion | undefined {
  const own = classifyFailure(apiVersion.failures, call, status, body);
  const differs = ({ failures }: ApiVersion) => (recordedReason(failures, call, status, body) ?? own) !== own;
  if (!UNFITTING.has(own) && !(AMBIGUOUS.has(own) && Object.values(API_VERSIONS).some(differs)))
    return undefined;
  const reasonIn = (name: ApiVersionName) => classifyFailure(API_VERSIONS[name].failures, call, status, body);
  return { fork: reasonIn('fork'), v3: reasonIn('v3'), v4: reasonIn('v4') };
}

/** The calls that change secrets, or what holds them. */
const WRITES: ReadonlySet<CallLabel> = new Set([
  'createProject',
  'createEnvironment',
  'createSecret',
  'updateSecret',
  'deleteSecret',
]);

/** Returns whether Infisical refuses this write, for example by a rule of the project, so that repeating it is of no use. */
export function isRefusedWrite({
  call,
  reason,
  status,
}: Pick<CallFailure, 'call' | 'reason' | 'status'>): boolean {
  if (!WRITES.has(call)) return false;
  if (reason === 'notUnderstood' || reason === 'notInfisical') return status === 400 || status === 422;
  return reason === 'invalidRequest' || reason === 'tooLarge' || reason === 'environmentHeld';
}
