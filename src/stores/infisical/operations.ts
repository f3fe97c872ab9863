import type { DomainError } from '../../errors/domain-error';
import { TooManyRequests } from '../../errors/request-errors';
import {
  ListTooLarge,
  StoreOutOfTime,
  StoreRefused,
  StoreUnavailable,
  StoreUnreachable,
} from '../../errors/store-errors';
import type { FailureReason } from './versions/failure-reason';
import { InfisicalCallFailed } from './versions/infisical-call-failed';
import { KUBERNETES_LOGIN } from './auth/login-method';
import { isRefusedWrite } from './versions/refused-write';
import type { MonotonicTime } from '../../time/clock';
import type { SecretScope } from '../../secrets/secret';
import { waitedMs } from '../../secrets/secret-store-decorator';
import { deadlineIn, type Deadline, remainingMs } from '../../time/deadline';
import type { LogEvent } from '../../logging/log';
import type { ScopeLock } from '../../concurrency/keyed-mutex';
import { ScopeQueue } from './scope-queue';

const DEFAULT_WAIT_MS = 60_000;

/** What a caller learns: Infisical's own 401 and 403 are ours to mend, not the caller's. */
export function storeErrorAfter(failure: InfisicalCallFailed): DomainError {
  if (failure.reason === 'answerTooLarge' && failure.call === 'listSecrets') return new ListTooLarge();
  if (isRefusedWrite(failure)) return new StoreRefused(failure.said);
  if (failure.reason === 'outOfTime') return new StoreOutOfTime();
  if (isNoAnswer(failure.reason)) return new StoreUnreachable();
  if (failure.reason !== 'rateLimited') return new StoreUnavailable();
  return new TooManyRequests(Math.max(1, Math.ceil((failure.retryAfterMs ?? DEFAULT_WAIT_MS) / 1000)));
}

/** Infisical did not get to say anything about the request: neither that it may be made, nor what it found. */
function isNoAnswer(reason: FailureReason): boolean {
  return NO_ANSWERS.has(reason) || reason.startsWith('certificate:');
}

const NO_ANSWERS: ReadonlySet<FailureReason> = new Set([
  'unreachable',
  'connectionLost',
  'timedOut',
  'outOfTime',
  'gatewayFailure',
  'serverFailure',
  'notInfisical',
  'tlsFailed',
  'proxyFailed',
  'proxyRefused',
  'serviceAccountTokenUnreadable',
]);

const NO_ANSWER = 'Infisical does not answer.';

const ADVICE: Readonly<Partial<Record<FailureReason, string>>> = {
  credentialsRefused:
    'Infisical refuses the client id or the client secret; are they of the Infisical at INFISICAL_URL? Logins are paused between attempts.',
  serviceAccountTokenUnreadable:
    "The file of the pod's ServiceAccount token (INFISICAL_KUBERNETES_TOKEN_FILE) cannot be read, or is empty.",
  tokenDead:
    'Infisical refuses the token that it has just given; logins are paused between attempts. May the identity be used from our address?',
  unreachable: NO_ANSWER,
  connectionLost: NO_ANSWER,
  timedOut: NO_ANSWER,
  outOfTime: NO_ANSWER,
  gatewayFailure: NO_ANSWER,
  'certificate:unknownAuthority':
    "Infisical's certificate is of an authority that is not trusted here; INFISICAL_CA_FILE names more of them.",
  'certificate:wrongHost': "Infisical's certificate is for another host name than that of INFISICAL_URL.",
  'certificate:expired': "Infisical's certificate has expired.",
  'certificate:notYetValid': "Infisical's certificate is not valid yet.",
  'certificate:refused': "Infisical's certificate is refused.",
  tlsFailed: 'No TLS can be spoken with Infisical; is INFISICAL_URL an https address?',
  proxyFailed: 'The proxy of HTTPS_PROXY does not answer, or does not reach Infisical.',
  proxyRefused:
    'The proxy of HTTPS_PROXY or HTTP_PROXY refuses our requests; are its user and password right?',
  rateLimited: 'Infisical limits the rate of our requests.',
  routeNotFound: 'Infisical does not know a route that it should; is the address right?',
};

const SERVICE_ACCOUNT_REFUSED =
  "Infisical refuses the pod's ServiceAccount token or the identity id; logins are paused between attempts.";

const UNKNOWN_CLIENT =
  'Infisical does not know the client id; is it of the Infisical at INFISICAL_URL? Logins are paused between attempts.';

const NOT_INFISICAL = (status: number | undefined): string =>
  `What answers at INFISICAL_URL does not answer as Infisical does (status ${status ?? 'none'}); is the address right?`;

/** What an operator reads in readiness. */
export function notReadyBecause({
  call,
  reason,
  status,
  pathTemplate,
}: InfisicalCallFailed): StoreUnavailable {
  if (reason === 'credentialsRefused' && pathTemplate === KUBERNETES_LOGIN.path)
    return new StoreUnavailable(SERVICE_ACCOUNT_REFUSED);
  if (reason === 'credentialsRefused' && status === 404) return new StoreUnavailable(UNKNOWN_CLIENT);
  if (reason === 'notInfisical') return new StoreUnreachable(NOT_INFISICAL(status));
  if (call === 'probe' && (reason === 'notUnderstood' || reason === 'unexpectedAnswer'))
    return new StoreUnavailable(NOT_INFISICAL(status));
  const other = `Infisical answers, but not as it should (${reason}, status ${status ?? 'none'}).`;
  const advice = ADVICE[reason] ?? other;
  return isNoAnswer(reason) || reason === 'rateLimited'
    ? new StoreUnreachable(advice)
    : new StoreUnavailable(advice);
}

type Operation<T> = (deadline: Deadline) => Promise<T>;

const ALWAYS_WRITTEN = 'Others write to this workspace all the time; nothing was changed. Try again.';

/** What every operation of the store has: a deadline, its turn if it writes, and our words for what went wrong. */
export class Operations {
  readonly #turns = new ScopeQueue();
  #writesAsked = 0;
  #writesUnderWay = 0;

  constructor(
    private readonly timeoutMs: number,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
    private readonly lock: ScopeLock,
  ) {}

  /** The deadline counts from here, the wait for a turn included, and less what was waited before. @throws DomainError */
  async run<T>(operation: Operation<T>): Promise<T> {
    try {
      return await operation(deadlineIn(this.timeoutMs - waitedMs(), this.time));
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      const { call, method, pathTemplate, reason, status, said } = error;
      const words = said === undefined ? {} : { said };
      this.log('warn', 'infisical_call_failed', {
        call,
        method,
        pathTemplate,
        reason,
        status: status ?? 0,
        ...words,
      });
      throw storeErrorAfter(error);
    }
  }

  get writes(): { readonly waiting: number; readonly underWay: number } {
    return { waiting: this.#writesAsked - this.#writesUnderWay, underWay: this.#writesUnderWay };
  }

  write<T>(operation: Operation<T>): Promise<T> {
    return this.#counted(() => this.run((deadline) => this.#underWay(() => operation(deadline))));
  }

  /** Writes of one scope take turns: the server's create looks first and stores later. */
  writeSerialized<T>(scope: SecretScope, operation: Operation<T>): Promise<T> {
    const key = JSON.stringify([scope.user, scope.workspace, scope.environment]);
    return this.#counted(() =>
      this.run((deadline) =>
        this.#turns.run(key, () =>
          this.#locked(key, deadline, () => this.#underWay(() => operation(deadline))),
        ),
      ),
    );
  }

  /** First our own turn, then that among replicas, so that each of them has one write at most at the lock. */
  async #locked<T>(key: string, deadline: Deadline, write: () => Promise<T>): Promise<T> {
    const held = await this.lock.hold(key, remainingMs(deadline, this.time));
    if (held === undefined) throw new StoreUnreachable(ALWAYS_WRITTEN);
    try {
      return await write();
    } finally {
      held.release();
    }
  }

  async #counted<T>(write: () => Promise<T>): Promise<T> {
    this.#writesAsked += 1;
    try {
      return await write();
    } finally {
      this.#writesAsked -= 1;
    }
  }

  async #underWay<T>(write: () => Promise<T>): Promise<T> {
    this.#writesUnderWay += 1;
    try {
      return await write();
    } finally {
      this.#writesUnderWay -= 1;
    }
  }
}
