import { API_VERSIONS, type ApiVersion } from './api-version';
import {
  type ApiVersionName,
  type CallLabel,
  type CallName,
  classifyFailure,
  type FailureReason,
  meaningOf,
  recordedReason,
  parseFailure,
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

/** The reason that one answer means in each API version. */
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

/** The secret that was sent, of which nothing may be shown. */
export interface SentSecret {
  readonly name?: string | undefined;
  /** The value in the form that is stored. */
  readonly value?: string | undefined;
}

const MAX_CHARS = 300;
const MAX_ISSUES = 3;
/** A text that shares so many letters and digits in a row with the value may show a part of it. */
const MIN_SHARED_CHARS = 4;
const NAME = '<name>';
const OTHER = '…';
/** Ordinary words and small numbers, but no ids, keys or words joined by a dash: values of other secrets may look like those. */
const ORDINARY =
  /^["'“‘(]*(?:<name>|[A-Za-z][a-z]{0,19}|[A-Z]{2,16}|[a-z]{2,12}[A-Z][a-z]{2,12}|[A-Za-z]{1,16}['’][a-z]{1,2}|\d{1,6})["'”’).,:;!?]*$/;

/**
 * Returns Infisical's message about a request that it refused, safe for the log and for the caller: without the secret's name and without
 * words that could be a key or an id. Returns undefined where the text could hold a part of the value, or says nothing.
 */
export function refusalSentence(body: unknown, { name, value }: SentSecret): string | undefined {
  const text = textIn(body);
  if (text === '' || text.length > MAX_CHARS || (value !== undefined && mayHold(text, value)))
    return undefined;
  const words = withoutName(text, name).split(' ');
  const shown = words.map((word) => (ORDINARY.test(word) ? word : OTHER));
  const ordinary = shown.filter((word) => word !== OTHER).length;
  return ordinary >= 2 && 2 * ordinary >= words.length ? shown.join(' ') : undefined;
}

/**
 * Returns Infisical's message for an operator. Words that could be a part of a secret, an id or a key are left out, unless the operator
 * gave them openly. Returns undefined where nothing of the message is left.
 */
export function operatorSentence(
  body: unknown,
  { secrets, open }: { readonly secrets: readonly string[]; readonly open: readonly string[] },
): string | undefined {
  const text = textIn(body).slice(0, MAX_CHARS);
  const words = text === '' ? [] : text.split(' ');
  const isOpen = (word: string) => open.includes(word.replace(/^["'(]+|["').,:;!?]+$/g, ''));
  const isSecret = (word: string) => secrets.some((secret) => mayHold(word, secret));
  const shown = words.map((word) =>
    !isSecret(word) && (isOpen(word) || ORDINARY.test(word)) ? word : OTHER,
  );
  return shown.some((word) => word !== OTHER) ? shown.join(' ') : undefined;
}

/** Returns the message, or the fields and messages of a list of issues, in one line. */
function textIn(body: unknown): string {
  const { message, issues } = parseFailure(body);
  const said = issues.slice(0, MAX_ISSUES).filter((issue) => !issue.endsWith(': '));
  return (message === '' ? said.join('; ') : message).replace(/\s+/g, ' ').trim();
}

/** Returns whether the text may hold a part of the value, with its case, blanks or punctuation changed. */
function mayHold(text: string, value: string): boolean {
  const [said, secret] = [squashed(text), squashed(value)];
  if (secret === '') return value !== '' && text.includes(value.trim());
  if (secret.length <= MIN_SHARED_CHARS) return said.includes(secret);
  const parts = new Set<string>();
  for (let at = 0; at + MIN_SHARED_CHARS <= said.length; at++)
    parts.add(said.slice(at, at + MIN_SHARED_CHARS));
  for (let at = 0; at + MIN_SHARED_CHARS <= secret.length; at++)
    if (parts.has(secret.slice(at, at + MIN_SHARED_CHARS))) return true;
  return false;
}

function squashed(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

function withoutName(text: string, name: string | undefined): string {
  if (name === undefined || name === '') return text;
  const literal = name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${literal}(?![\\p{L}\\p{N}_])`, 'giu'), NAME);
}
