import type { CallName } from './calls';

/**
 * Why a call to Infisical failed. From `unreachable` on, the reasons are of calls that got no answer: with
 * `connectionLost`, `timedOut` and `answerTooLarge` the call may have been carried out; with the others it was never sent.
 * `notInfisical` is the answer of something in front of Infisical, such as a proxy or a login page.
 */
export type FailureReason =
  | 'credentialsRefused'
  | 'serviceAccountTokenUnreadable'
  | 'tokenDead'
  | 'permissionDenied'
  | 'notAMember'
  | `notFound:${'secret' | 'environment' | 'project'}`
  | `alreadyExists:${'secret' | 'environment' | 'project'}`
  | 'environmentHeld'
  | 'conflict'
  | 'invalidRequest'
  | 'nameRefused'
  | 'tooLarge'
  | 'rateLimited'
  | 'routeNotFound'
  | 'serverFailure'
  | 'gatewayFailure'
  | 'unexpectedAnswer'
  | 'notUnderstood'
  | 'notInfisical'
  | 'unreachable'
  | `certificate:${'unknownAuthority' | 'wrongHost' | 'expired' | 'notYetValid' | 'refused'}`
  | 'tlsFailed'
  | 'proxyFailed'
  | 'proxyRefused'
  | 'outOfTime'
  | 'connectionLost'
  | 'timedOut'
  | 'answerTooLarge';

/** One recorded failure. Every given field must match: `message` the text, `issue` one of a list of issues. */
export interface FailureRule {
  readonly on?: readonly CallName[];
  readonly status: number;
  readonly error?: RegExp;
  readonly message?: RegExp;
  /** Matched with `<field>: <message>`. */
  readonly issue?: RegExp;
  readonly reason: FailureReason;
}

/** @param on undefined for the probe, whose call depends on no API version */
export function classifyFailure(
  rules: readonly FailureRule[],
  on: CallName | undefined,
  status: number,
  body: unknown,
): FailureReason {
  return recordedReason(rules, on, status, body) ?? fallbackReason(status, body);
}

/** Returns undefined where no rule matches. */
export function recordedReason(
  rules: readonly FailureRule[],
  on: CallName | undefined,
  status: number,
  body: unknown,
): FailureReason | undefined {
  const { error, message, issues } = parseFailure(body);
  return rules.find(
    (candidate) =>
      candidate.status === status &&
      (candidate.on === undefined || (on !== undefined && candidate.on.includes(on))) &&
      (candidate.error === undefined || candidate.error.test(error)) &&
      (candidate.message === undefined || candidate.message.test(message)) &&
      (candidate.issue === undefined || issues.some((issue) => candidate.issue?.test(issue))),
  )?.reason;
}

/** Classifies by status alone. A 5xx in Infisical's own form is an ended request; any other comes from something in front of it. */
function fallbackReason(status: number, body: unknown): FailureReason {
  const { error } = parseFailure(body);
  if (status === 429) return 'rateLimited';
  if (status >= 500)
    return error !== '' && (status === 500 || status > 504) ? 'serverFailure' : 'gatewayFailure';
  if (status >= 400) return error === '' ? 'notInfisical' : 'notUnderstood';
  // Infisical redirects no call, and answers each with JSON.
  return status === 304 || (status < 300 && body !== undefined) ? 'unexpectedAnswer' : 'notInfisical';
}

interface FailureTexts {
  readonly error: string;
  readonly message: string;
  readonly issues: readonly string[];
}

/** Parses `{statusCode, message, error}`; a field that is missing or of another type is empty. */
function parseFailure(body: unknown): FailureTexts {
  if (typeof body !== 'object' || body === null) return { error: '', message: '', issues: [] };
  const { error, message } = body as { error?: unknown; message?: unknown };
  return {
    error: typeof error === 'string' ? error : '',
    message: typeof message === 'string' ? message : '',
    issues: Array.isArray(message) ? message.map(issueOf) : [],
  };
}

/** Formats an issue of the servers' schemas, `{path: [field], message}`. */
function issueOf(issue: unknown): string {
  const { path, message } = (issue ?? {}) as { path?: unknown; message?: unknown };
  return `${Array.isArray(path) ? path.join('.') : ''}: ${typeof message === 'string' ? message : ''}`;
}
