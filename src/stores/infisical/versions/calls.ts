import { fieldsOf } from '../../../json/json';

/** The fork that Olares ships, upstream's v3 raw routes, and upstream since 2025-09. */
export type ApiVersionName = 'fork' | 'v3' | 'v4';

const WRITTEN = ['secret', 'approval'];
/**
 * Every call that this adapter makes, with the outer fields of the servers' answers, one of which each success has. A project that was
 * found by its slug is not wrapped.
 */
const OUTER_FIELDS = {
  login: ['accessToken'],
  ping: ['workspaces', 'project', 'environments'],
  checkOrganization: ['identity', 'workspaces'],
  findProject: ['project', 'environments'],
  createProject: ['project'],
  listProjects: ['workspaces', 'projects'],
  deleteProject: ['workspace', 'project'],
  createEnvironment: ['environment'],
  listSecrets: ['secrets'],
  retrieveSecret: ['secret'],
  createSecret: WRITTEN,
  updateSecret: WRITTEN,
  deleteSecret: WRITTEN,
} satisfies Record<string, readonly string[]>;

export type CallName = keyof typeof OUTER_FIELDS;

/** The name of a call in failures and logs. The probe is made before the API version is known; setup and migration make calls of their own. */
export type CallLabel = CallName | 'probe' | 'setup' | 'migration';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `{x}` stands for one percent-encoded segment; the template is safe to log. */
  readonly path: string;
}

/**
 * What became of a write that failed: `notApplied`, nothing was changed; `finished`, the server is done with it, so a read shows the
 * outcome; `maybeRunning`, it may still be carried out after a read (the servers cut the connection at 30 s and go on).
 */
export type WriteOutcome = 'notApplied' | 'finished' | 'maybeRunning';

/** What a failure means for the call and for those who wait for it. */
interface FailureMeaning {
  readonly write: WriteOutcome;
  /** Whether it is a correct answer, such as that of a missing secret, and no failure of Infisical. */
  readonly isOrdinary?: true;
  /** Whether it says nothing about what Infisical stores and permits. */
  readonly isInconclusive?: true;
  /** The requests that may be repeated: all where it was certainly not carried out, or those that change nothing. */
  readonly repeats?: 'all' | 'reads';
}

const ORDINARY = { write: 'notApplied', isOrdinary: true } as const;
const REFUSED = { write: 'notApplied' } as const;
const UNSENT = { write: 'notApplied', isInconclusive: true } as const;

/**
 * Why a call to Infisical failed. `notInfisical` is the answer of something in front of Infisical, such as a proxy or a login page; what
 * its status says about a write is decided by InfisicalCallFailed.
 */
const FAILURES = {
  credentialsRefused: REFUSED,
  serviceAccountTokenUnreadable: UNSENT,
  tokenDead: ORDINARY,
  permissionDenied: REFUSED,
  notAMember: REFUSED,
  'notFound:secret': ORDINARY,
  'notFound:environment': ORDINARY,
  'notFound:project': ORDINARY,
  'alreadyExists:secret': ORDINARY,
  'alreadyExists:environment': ORDINARY,
  'alreadyExists:project': ORDINARY,
  environmentHeld: REFUSED,
  conflict: ORDINARY,
  invalidRequest: ORDINARY,
  nameRefused: ORDINARY,
  tooLarge: ORDINARY,
  rateLimited: { write: 'notApplied', repeats: 'all' },
  routeNotFound: REFUSED,
  serverFailure: { write: 'finished', isInconclusive: true },
  gatewayFailure: { write: 'maybeRunning', isInconclusive: true, repeats: 'reads' },
  unexpectedAnswer: { write: 'maybeRunning' },
  notUnderstood: { write: 'finished' },
  notInfisical: { write: 'maybeRunning', isInconclusive: true },
  unreachable: { write: 'notApplied', isInconclusive: true, repeats: 'all' },
  'certificate:unknownAuthority': UNSENT,
  'certificate:wrongHost': UNSENT,
  'certificate:expired': UNSENT,
  'certificate:notYetValid': UNSENT,
  'certificate:refused': UNSENT,
  tlsFailed: UNSENT,
  proxyFailed: { write: 'notApplied', isInconclusive: true, repeats: 'all' },
  proxyRefused: UNSENT,
  outOfTime: UNSENT,
  connectionLost: { write: 'maybeRunning', isInconclusive: true, repeats: 'reads' },
  timedOut: { write: 'maybeRunning', isInconclusive: true },
  answerTooLarge: { write: 'maybeRunning' },
} as const satisfies Readonly<Record<string, FailureMeaning>>;

export type FailureReason = keyof typeof FAILURES;

export function meaningOf(reason: FailureReason): FailureMeaning {
  return FAILURES[reason];
}

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
  return recordedReason(rules, on, status, body) ?? fallbackReason(on, status, body);
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
function fallbackReason(on: CallName | undefined, status: number, body: unknown): FailureReason {
  const { error } = parseFailure(body);
  if (status === 429) return 'rateLimited';
  if (status >= 500)
    return error !== '' && (status === 500 || status > 504) ? 'serverFailure' : 'gatewayFailure';
  if (status >= 400) return error === '' ? 'notInfisical' : 'notUnderstood';
  // Infisical redirects no call, and answers each with the fields of its route.
  return status === 304 || (status < 300 && isAnswerTo(on, body)) ? 'unexpectedAnswer' : 'notInfisical';
}

/** Returns whether the body of a 2xx is that of a call; a page of something in front of Infisical may be JSON too. */
export function isAnswerTo(on: CallName | undefined, body: unknown): boolean {
  const fields = fieldsOf(body);
  return on !== undefined && OUTER_FIELDS[on].some((field) => fields[field] !== undefined);
}

/** Parses `{statusCode, message, error}`; a field that is missing or of another type is empty. An issue is `<field>: <message>`. */
export function parseFailure(body: unknown): {
  readonly error: string;
  readonly message: string;
  readonly issues: readonly string[];
} {
  const { error, message } = fieldsOf(body);
  return {
    error: typeof error === 'string' ? error : '',
    message: typeof message === 'string' ? message : '',
    issues: Array.isArray(message) ? message.map(issueOf) : [],
  };
}

/** Formats an issue of the servers' schemas, `{path: [field], message}`. */
function issueOf(issue: unknown): string {
  const { path, message } = fieldsOf(issue);
  return `${Array.isArray(path) ? path.join('.') : ''}: ${typeof message === 'string' ? message : ''}`;
}

/** One request to Infisical; every field may be shown. */
export interface ObservedCall {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
}

/**
 * `ok`, also for a refusal that is a correct answer, such as a missing secret; `cancelled` where nobody waited for the answer any
 * more; otherwise the reason of the failure.
 */
type CallOutcome = 'ok' | 'cancelled' | FailureReason;

export interface CallUnderWay {
  /** Sent with the call. */
  readonly headers: Readonly<Record<string, string>>;
  ended(outcome: CallOutcome, status?: number): void;
}

/** Figures that can be read at any time. */
export interface InfisicalFigures {
  apiVersion(): ApiVersionName | undefined;
  /** Milliseconds since the epoch; 0 where a session was lost, undefined before the first. */
  sessionEndsAtMs(): number | undefined;
  /** The number of calls that wait for a permit under the server's rate limits. */
  callsWaiting(): number;
  /** The number of writes that wait for others, and of those that have begun. */
  writes(): { readonly waiting: number; readonly underWay: number };
}

/** Observes the adapter's calls. It gets no value, name or token. */
export interface InfisicalObserver {
  /** Called once, when the store is made. */
  opened(figures: InfisicalFigures): void;
  /** A call has its permit and is about to be sent. */
  callBegins(call: ObservedCall): CallUnderWay;
  /** A call had to wait for its permit under the rate limits. */
  waitedForPermit(waitedMs: number): void;
  /** A call was refused unsent, since there would be no permit for it in time. */
  permitRefused(): void;
}

export function outcomeOf(reason: FailureReason | undefined): CallOutcome {
  return reason === undefined || meaningOf(reason).isOrdinary ? 'ok' : reason;
}
