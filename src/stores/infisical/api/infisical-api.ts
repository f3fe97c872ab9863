import { type Clock, type MonotonicTime, remainingMs, type Wait, waitFor } from '../../../time/clock';
import { setTimeout as pause } from 'node:timers/promises';
import type { CallContext } from '../../../secrets/secret';
import type { SingleFlight } from '../../../concurrency/keyed-work';
import type { MachineSession } from '../auth/machine-session';
import type { InfisicalClient, TransportAnswer, TransportRequest } from '../transport/infisical-client';
import type { ApiVersion } from '../versions/api-version';
import { type CallName, meaningOf } from '../versions/calls';
import { InfisicalCallFailed, ranOutOfTime } from '../versions/infisical-call-failed';
import type { ApiVersionSource } from '../versions/version-probe';
import { callFailureOf, type CallParts, requestOf, successIn } from './execute-request';

interface ApiSettings {
  readonly apiVersions: ApiVersionSource;
  readonly requestTimeoutMs: number;
  /** A call with less time left than this is not sent: it would be cut off before it could be answered. */
  readonly minCallMs: number;
  readonly budget: RetryBudget;
}

/** Returns the parts of a request for the active API version. */
export type PartsIn = (apiVersion: ApiVersion) => CallParts;

/** Parses an answer of which only the success matters. */
export const anyBody = (body: unknown): unknown => body;

/** Calls Infisical as our machine identity. It replaces a dead token once, and repeats calls that are safe to repeat. */
export class InfisicalApi {
  constructor(
    private readonly client: InfisicalClient,
    private readonly session: MachineSession,
    private readonly time: MonotonicTime,
    private readonly settings: ApiSettings,
  ) {}

  /** Returns the active API version, after detecting it where it is not known yet. @throws InfisicalCallFailed */
  async apiVersion(context: CallContext): Promise<ApiVersion> {
    const { apiVersions } = this.settings;
    const known = apiVersions.known();
    if (known !== undefined) return known;
    for (const attempts = new Attempts(true, context, this.time, this.settings); ;) {
      try {
        return await this.shared('probe', apiVersions.current(), context);
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed && (await attempts.isToRepeatAfter(error)))) throw error;
      }
    }
  }

  /**
   * Sends a call with our token, and again where that is safe. The server finds a dead token before it does anything, so a call is
   * repeated with a new one, writes too. After an answer that does not fit the API version, the version is detected again: the server
   * may have been replaced while we run.
   * @param parse returns undefined for an answer that is not what the route documents
   * @throws InfisicalCallFailed
   */
  async call<T>(
    name: CallName,
    parts: PartsIn,
    parse: (body: unknown, answer: TransportAnswer) => T | undefined,
    context: CallContext,
  ): Promise<T> {
    const detected = await this.apiVersion(context);
    const changesNothing = detected.routes[name].method === 'GET';
    let apiVersion = detected;
    let attempts = new Attempts(changesNothing, context, this.time, this.settings);
    let isReplacement = false;
    for (;;) {
      let bearer: string | undefined;
      try {
        const filledIn = parts(apiVersion);
        bearer = await this.token(context);
        const sending = { ...this.#timeFor(apiVersion, name, context), bearer, signal: context.signal };
        const sent = await this.client.send(requestOf(apiVersion, name, filledIn, sending));
        const answer = successIn(apiVersion, name, filledIn, sent);
        if (isReplacement) this.session.replacementAccepted();
        const parsed = parse(answer.body, answer);
        if (parsed === undefined) throw callFailureOf(apiVersion, name, 'unexpectedAnswer');
        return parsed;
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed)) throw error;
        const dead = error.reason === 'tokenDead' ? bearer : undefined;
        if (dead !== undefined && isReplacement) this.session.replacementRefused(dead);
        isReplacement = dead !== undefined && !isReplacement && this.session.discard(dead);
        if (isReplacement || (await attempts.isToRepeatAfter(error))) continue;
        if (apiVersion !== detected || !error.mayBeAnotherVersion) throw error;
        apiVersion = await this.#versionAfter(error, detected, changesNothing, context);
        attempts = new Attempts(changesNothing, context, this.time, this.settings);
      }
    }
  }

  heldToken(): string | undefined {
    return this.session.held;
  }

  close(): void {
    this.client.close();
  }

  /** Returns the version in which a call is sent again: one that was refused for its route or token was not carried out. @throws the failure */
  async #versionAfter(
    failure: InfisicalCallFailed,
    suspected: ApiVersion,
    changesNothing: boolean,
    context: CallContext,
  ): Promise<ApiVersion> {
    const other = await this.#redetect(suspected, context);
    if (other === suspected) throw failure;
    const inOther = failure.inVersion(other.name);
    const { call, reason } = inOther;
    const wasNotCarriedOut = reason === 'routeNotFound' || reason === 'tokenDead' || call === 'login';
    if (!changesNothing && !wasNotCarriedOut) throw inOther;
    return other;
  }

  /** Returns the suspected version where the detection fails: the earlier failure then tells more than this one. */
  async #redetect(suspected: ApiVersion, context: CallContext): Promise<ApiVersion> {
    try {
      return await this.shared('probe', this.settings.apiVersions.redetect(suspected), context);
    } catch (error: unknown) {
      if (error instanceof InfisicalCallFailed) return suspected;
      throw error;
    }
  }

  /** Returns how long a request may take. @throws InfisicalCallFailed where there is not enough time left */
  #timeFor(
    apiVersion: ApiVersion,
    name: CallName,
    context: CallContext,
  ): Pick<TransportRequest, 'timeoutMs' | 'maxWaitMs' | 'minCallMs'> {
    const { requestTimeoutMs, minCallMs } = this.settings;
    const maxWaitMs = remainingMs(context.deadline, this.time);
    if (maxWaitMs < minCallMs) throw callFailureOf(apiVersion, name, 'outOfTime');
    return { timeoutMs: Math.min(requestTimeoutMs, maxWaitMs), maxWaitMs, minCallMs };
  }

  /** Returns our token, after a login where there is none. @throws InfisicalCallFailed */
  async token(context: CallContext): Promise<string> {
    return this.session.ready() ?? this.shared('login', this.session.token(), context);
  }

  /** Runs work that equal calls share, with the deadline of the call that began it; another call may have more time, and begins it anew. */
  joined<T>(
    flights: SingleFlight<T>,
    key: string,
    call: CallName,
    work: (context: CallContext) => Promise<T>,
    context: CallContext,
  ): Promise<T> {
    const { deadline, signal } = context;
    const begin = (shared: AbortSignal) => work({ deadline, signal: shared });
    return this.shared(call, flights.run(key, begin, { signal, isOwn: ranOutOfTime }), context);
  }

  /** Waits for shared work as long as the call may; the work goes on for the others after that. @throws InfisicalCallFailed */
  shared<T>(call: CallName | 'probe', work: Promise<T>, context: CallContext): Promise<T> {
    return waitFor(work, this.waitOf(call, context));
  }

  /** Returns how long a call may wait for others before it is sent. */
  waitOf(call: CallName | 'probe', { deadline, signal }: CallContext): Wait {
    const late = (): Error =>
      new InfisicalCallFailed({ call, method: '', pathTemplate: '', reason: 'outOfTime' });
    return { maxMs: remainingMs(deadline, this.time), late, signal };
  }
}

const TOKENS_PER_CALL = 0.1;
const TOKENS_PER_MS = 1 / 5_000;
const MAX_TOKENS = 10;

/**
 * Bounds the retries of the whole process to a tenth of its calls, and at least one each 5 s, so that a server that fails
 * everything is not asked everything three times.
 */
export class RetryBudget {
  #tokens = MAX_TOKENS;
  #countedAtMs: number;

  constructor(private readonly clock: Clock) {
    this.#countedAtMs = clock.nowMs();
  }

  earn(): void {
    const nowMs = this.clock.nowMs();
    const earned = TOKENS_PER_CALL + Math.max(0, nowMs - this.#countedAtMs) * TOKENS_PER_MS;
    this.#countedAtMs = nowMs;
    this.#tokens = Math.min(MAX_TOKENS, this.#tokens + earned);
  }

  /** Takes a token for one retry. Returns false where there is none. */
  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/** The attempts of one call: it is repeated where that is safe and there is time for it. */
class Attempts {
  #made = 1;

  constructor(
    private readonly changesNothing: boolean,
    private readonly context: CallContext,
    private readonly time: MonotonicTime,
    private readonly settings: ApiSettings,
  ) {
    settings.budget.earn();
  }

  /**
   * Pauses before the next attempt, with full jitter, or as long as the server's Retry-After says. Returns false at once where there
   * must be none after this failure. @throws the reason of the signal
   */
  async isToRepeatAfter({ call, reason, retryAfterMs }: InfisicalCallFailed): Promise<boolean> {
    const { context, settings } = this;
    const { repeats } = meaningOf(reason);
    const changesNothing = this.changesNothing || call === 'login' || call === 'probe';
    if (repeats === undefined || (repeats === 'reads' && !changesNothing)) return false;
    const maxPauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#made);
    const pauseMs = retryAfterMs ?? Math.random() * maxPauseMs;
    const isInTime = pauseMs + settings.minCallMs < remainingMs(context.deadline, this.time);
    if (this.#made === MAX_ATTEMPTS || !isInTime || !settings.budget.spend()) return false;
    this.#made += 1;
    await pause(pauseMs, undefined, context).catch(() => context.signal.throwIfAborted());
    return true;
  }
}
