/**
 * What is kept of a failed call to the API server. Its message, its headers and the library's error objects may hold
 * tokens and objects, so none of them is.
 */
export class KubernetesFailure extends Error {
  constructor(
    /** A word of Kubernetes (`Expired`), of the system (`ECONNREFUSED`) or of ours (`Timeout`). */
    readonly reason: string,
    /** Undefined where no answer came. */
    readonly status?: number,
    readonly retryAfterMs?: number,
    /** Which field of an object that we sent was refused, as a path; never its content. */
    readonly field?: string,
  ) {
    super(status === undefined ? reason : `${status} ${reason}`);
    this.name = 'KubernetesFailure';
  }

  /** The version that we hold, or the page that we ask for, is too old: only a new list helps. */
  get gone(): boolean {
    return this.status === 410;
  }
}

const WORD = /^[A-Za-z0-9_]{1,64}$/;
const FIELD = /^[A-Za-z0-9_.[\]]{1,128}$/;
const MAX_RETRY_AFTER_S = 60;

/** @param answer a parsed `Status` object, or whatever came instead */
export function refusedWith(status: number, answer: unknown, retryAfter?: string): KubernetesFailure {
  const reason = typeof answer === 'object' && answer !== null && 'reason' in answer ? answer.reason : '';
  const word = typeof reason === 'string' && WORD.test(reason) ? reason : 'Refused';
  const seconds = /^\d{1,4}$/.test(retryAfter ?? '')
    ? Math.min(Number(retryAfter), MAX_RETRY_AFTER_S)
    : undefined;
  const retryAfterMs = seconds === undefined ? undefined : seconds * 1000;
  return new KubernetesFailure(word, status, retryAfterMs, status === 422 ? refusedField(answer) : undefined);
}

/** The first one that a 422 names. */
function refusedField(answer: unknown): string | undefined {
  const { details } = answer as { readonly details?: { readonly causes?: unknown } | null };
  const causes: unknown = details?.causes;
  const [first] = Array.isArray(causes) ? (causes as readonly unknown[]) : [];
  const field = typeof first === 'object' && first !== null && 'field' in first ? first.field : undefined;
  return typeof field === 'string' && FIELD.test(field) ? field : undefined;
}

/** Of anything that was thrown: a system's code at most. */
export function failureOf(error: unknown): KubernetesFailure {
  if (error instanceof KubernetesFailure) return error;
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : '';
  return new KubernetesFailure(typeof code === 'string' && WORD.test(code) ? code : 'Failed');
}
