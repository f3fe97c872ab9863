import type { DomainError } from '../../errors/domain-error';
import { TooManyRequests } from '../../errors/request-errors';
import {
  ListTooLarge,
  ScopeBusy,
  StoreOutOfTime,
  StoreRefused,
  StoreUnavailable,
  StoreUnreachable,
} from '../../errors/store-errors';
import { type FailureReason, meaningOf } from './versions/calls';
import { failedBecause, InfisicalCallFailed, isRefusedWrite } from './versions/infisical-call-failed';
import { KUBERNETES_LOGIN } from './auth/login-method';
import { type MonotonicTime, deadlineIn, remainingMs, type Clock } from '../../time/clock';
import { type SecretScope, type CallContext, UNATTENDED } from '../../secrets/secret';
import type { LogEvent } from '../../logging/log';
import { KeyedMutex, type ScopeLock, SingleFlight } from '../../concurrency/keyed-work';
import { parseProject, parseProjects } from './api/answers';
import type { InfisicalApi } from './api/infisical-api';
import type { TransportAnswer } from './transport/infisical-client';
import { OTHER_ORGANIZATION, type OrganizationCheck } from './projects/organization-check';

const DEFAULT_WAIT_MS = 60_000;

/** Returns the error for a caller. Infisical's own 401 and 403 are 503 here: the caller did nothing wrong. */
export function storeErrorAfter(failure: InfisicalCallFailed): DomainError {
  if (failure.reason === 'answerTooLarge' && failure.call === 'listSecrets') return new ListTooLarge();
  if (isRefusedWrite(failure)) return new StoreRefused(failure.said);
  if (failure.reason === 'outOfTime') return new StoreOutOfTime();
  if (meaningOf(failure.reason).isInconclusive) return new StoreUnreachable();
  if (failure.reason !== 'rateLimited') return new StoreUnavailable();
  return new TooManyRequests(Math.max(1, Math.ceil((failure.retryAfterMs ?? DEFAULT_WAIT_MS) / 1000)));
}

export const NO_ANSWER = 'Infisical does not answer.';

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

/** Returns the error with the advice that readiness shows to an operator. */
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
  return meaningOf(reason).isInconclusive || reason === 'rateLimited'
    ? new StoreUnreachable(advice)
    : new StoreUnavailable(advice);
}

/** A write that waited longer for those before it might have had time enough without them. */
const SHORT_WAIT_MS = 100;

type Operation<T> = (context: CallContext) => Promise<T>;

/** Runs the operations of the store: each gets a deadline, writes of a scope are serialized, and failures become domain errors. */
export class Operations {
  readonly #scopeQueue = new KeyedMutex();
  #writes = 0;
  #writesUnderWay = 0;

  constructor(
    private readonly timeoutMs: number,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
    private readonly lock: ScopeLock,
  ) {}

  /** Returns the context of an operation, which ends with the deadline of the caller, and after our own time at the latest. */
  begin({ deadline, signal }: CallContext): CallContext {
    const latest = deadlineIn(this.timeoutMs, this.time);
    return { deadline: deadline.endsAtMs < latest.endsAtMs ? deadline : latest, signal };
  }

  /** Ends an operation that failed, and logs the failure of a call. @throws the error for the caller */
  readonly fail = (error: unknown): never => {
    if (!(error instanceof InfisicalCallFailed)) throw error;
    const { call, method, pathTemplate, reason, status = 0, said } = error;
    const fields = { call, method, pathTemplate, reason, status };
    this.log('warn', 'infisical_call_failed', said === undefined ? fields : { ...fields, said });
    throw storeErrorAfter(error);
  };

  get writes(): { readonly waiting: number; readonly underWay: number } {
    return { waiting: this.#writes - this.#writesUnderWay, underWay: this.#writesUnderWay };
  }

  write<T>(context: CallContext, operation: Operation<T>): Promise<T> {
    return this.#countWrite(context, (limited) => this.#underWay(operation, limited));
  }

  /**
   * Runs a write after the earlier ones of its scope: the server's create checks first and stores later. It waits in our own queue
   * before it waits for the lock, so that each replica has at most one write at the lock of a scope.
   */
  writeSerialized<T>(scope: SecretScope, context: CallContext, operation: Operation<T>): Promise<T> {
    const key = JSON.stringify([scope.user, scope.workspace, scope.environment]);
    return this.#countWrite(context, ({ deadline, signal }) => {
      const startedAtMs = this.time.nowMs();
      const writeLocked = async (): Promise<T> => {
        const held = await this.lock.hold(key, remainingMs(deadline, this.time), signal);
        if (held === undefined) throw new ScopeBusy();
        const waitedMs = this.time.nowMs() - startedAtMs;
        try {
          signal.throwIfAborted();
          return await this.#underWay(operation, { deadline, signal });
        } catch (error: unknown) {
          throw waitedMs > SHORT_WAIT_MS && failedBecause(error, 'outOfTime') ? new ScopeBusy() : error;
        } finally {
          held.release();
        }
      };
      return this.#scopeQueue.run(key, writeLocked, { signal });
    });
  }

  async #countWrite<T>(context: CallContext, operation: Operation<T>): Promise<T> {
    this.#writes += 1;
    try {
      return await operation(this.begin(context));
    } catch (error: unknown) {
      return this.fail(error);
    } finally {
      this.#writes -= 1;
    }
  }

  async #underWay<T>(operation: Operation<T>, context: CallContext): Promise<T> {
    this.#writesUnderWay += 1;
    try {
      return await operation(context);
    } finally {
      this.#writesUnderWay -= 1;
    }
  }
}

/** Infisical is pinged at most this often, however often readiness asks. */
const RESULT_TTL_MS = 5_000;
const PROBE_TIMEOUT_MS = 5_000;

type PingResult = Readonly<{ atMs: number; failure: StoreUnavailable | undefined }>;

/** Pings Infisical by a read that needs a valid token and a working database; `/api/status` needs neither. */
export class PingProbe {
  readonly #probes = new SingleFlight<PingResult>();
  #last: PingResult | undefined;

  constructor(
    private readonly api: InfisicalApi,
    private readonly organization: OrganizationCheck,
    private readonly deps: Readonly<{ clock: Clock; time: MonotonicTime; log: LogEvent }>,
  ) {}

  /** @throws StoreUnavailable with a message for an operator */
  async ping(): Promise<void> {
    const { failure } = this.#recent() ?? (await this.#probes.run('ping', () => this.#probe()));
    if (failure !== undefined) throw failure;
  }

  #recent(): PingResult | undefined {
    const ageMs = this.deps.clock.nowMs() - (this.#last?.atMs ?? -Infinity);
    // After the clock was set back, nothing is recent.
    return ageMs >= 0 && ageMs < RESULT_TTL_MS ? this.#last : undefined;
  }

  async #probe(): Promise<PingResult> {
    const failure = await this.#failure();
    this.#last = { atMs: this.deps.clock.nowMs(), failure };
    return this.#last;
  }

  async #failure(): Promise<StoreUnavailable | undefined> {
    const deadline = deadlineIn(PROBE_TIMEOUT_MS, this.deps.time);
    const context = { deadline, signal: UNATTENDED.signal };
    try {
      await this.#send(context);
      await this.organization.require(context);
      return undefined;
    } catch (error: unknown) {
      if (error instanceof StoreUnavailable) return new StoreUnavailable(OTHER_ORGANIZATION);
      if (!(error instanceof InfisicalCallFailed)) throw error;
      const failure = notReadyBecause(error);
      const { reason, status = 0 } = error;
      this.deps.log('warn', 'infisical_ping_failed', { reason, status, advice: failure.message });
      return failure;
    }
  }

  /** A refusal that arrives here proves that the server works. */
  async #send(context: CallContext): Promise<void> {
    const parse = (body: unknown, { status }: TransportAnswer) =>
      status < 300 ? (parseProjects(body) ?? parseProject(body)) : body;
    await this.api.call('ping', () => ({}), parse, context);
  }
}
