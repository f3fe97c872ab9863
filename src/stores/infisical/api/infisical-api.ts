import type { MonotonicTime } from '../../../time/clock';
import type { CallContext } from '../../../secrets/call-context';
import { remainingMs, type Wait, waitFor } from '../../../time/deadline';
import type { MachineSession } from '../auth/machine-session';
import type { InfisicalClient, TransportRequest } from '../transport/infisical-client';
import { Attempts, type RetryBudget } from '../transport/retrying';
import type { ApiVersion } from '../versions/api-version';
import type { CallName } from '../versions/calls';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { ApiVersionSource } from '../versions/version-probe';
import {
  callFailureOf,
  type CallParts,
  requestOf,
  type SuccessfulAnswer,
  successIn,
} from './execute-request';

export interface ApiSettings {
  readonly apiVersions: ApiVersionSource;
  readonly requestTimeoutMs: number;
  /** A call with less time left than this is not sent: it would be cut off before it could be answered. */
  readonly minCallMs: number;
  readonly budget: RetryBudget;
}

/** Returns the parts of a request for the active API version. */
export type PartsIn = (apiVersion: ApiVersion) => CallParts;

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
    for (const attempts = this.#attempts(true, context); ;) {
      try {
        return await this.shared('probe', apiVersions.current(), context);
      } catch (error: unknown) {
        if (!(error instanceof InfisicalCallFailed && (await attempts.isToRepeatAfter(error)))) throw error;
      }
    }
  }

  knownApiVersion(): ApiVersion | undefined {
    return this.settings.apiVersions.known();
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
    parse: (body: unknown, answer: SuccessfulAnswer) => T | undefined,
    context: CallContext,
  ): Promise<T> {
    const detected = await this.apiVersion(context);
    const changesNothing = detected.routes[name].method === 'GET';
    let apiVersion = detected;
    let attempts = this.#attempts(changesNothing, context);
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
        attempts = this.#attempts(changesNothing, context);
      }
    }
  }

  /** Returns the token of the latest login. */
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

  #attempts(changesNothing: boolean, context: CallContext): Attempts {
    const { budget, minCallMs } = this.settings;
    return new Attempts({ changesNothing, context, clock: this.time, budget, minCallMs });
  }

  /** Returns how long a request may take. @throws InfisicalCallFailed where there is not enough time left */
  #timeFor(
    apiVersion: ApiVersion,
    name: CallName,
    { deadline }: CallContext,
  ): Pick<TransportRequest, 'timeoutMs' | 'maxWaitMs' | 'minCallMs'> {
    const { requestTimeoutMs, minCallMs } = this.settings;
    const maxWaitMs = remainingMs(deadline, this.time);
    if (maxWaitMs < minCallMs) throw callFailureOf(apiVersion, name, 'outOfTime');
    return { timeoutMs: Math.min(requestTimeoutMs, maxWaitMs), maxWaitMs, minCallMs };
  }

  /** Returns our token, after a login where there is none. @throws InfisicalCallFailed */
  async token(context: CallContext): Promise<string> {
    return this.session.ready() ?? this.shared('login', this.session.token(), context);
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
