import type { MonotonicTime } from '../../../time/clock';
import type { CallContext } from '../../../secrets/call-context';
import { remainingMs, type Wait, waitFor } from '../../../time/deadline';
import type { MachineSession } from '../auth/machine-session';
import type { InfisicalClient } from '../transport/infisical-client';
import { type RetryBudget, retrying } from '../transport/retrying';
import type { ApiVersion } from '../versions/api-version';
import type { CallName } from '../versions/calls';
import { failedBecause, InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { ApiVersionSource } from '../versions/version-probe';
import { callFailureOf, type CallParts, executeRequest, type SuccessfulAnswer } from './execute-request';

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
    return (
      apiVersions.known() ??
      this.#retrying(true, context, () => this.shared('probe', apiVersions.current(), context))
    );
  }

  knownApiVersion(): ApiVersion | undefined {
    return this.settings.apiVersions.known();
  }

  /**
   * @param parse returns undefined for an answer that is not what the route documents
   * @throws InfisicalCallFailed
   */
  async call<T>(
    name: CallName,
    parts: PartsIn,
    parse: (body: unknown, answer: SuccessfulAnswer) => T | undefined,
    context: CallContext,
  ): Promise<T> {
    const apiVersion = await this.apiVersion(context);
    const answer = await this.#callVersion(apiVersion, name, parts, context);
    const parsed = parse(answer.body, answer);
    if (parsed === undefined) throw callFailureOf(apiVersion, name, 'unexpectedAnswer');
    return parsed;
  }

  /** Returns the token of the latest login. */
  heldToken(): string | undefined {
    return this.session.held;
  }

  close(): void {
    this.client.close();
  }

  /**
   * After an answer that does not fit the version, the version is detected again: the server may have been replaced while we run. A call
   * that was refused for its route or token was not carried out, so it is sent again to the other version.
   */
  async #callVersion(
    apiVersion: ApiVersion,
    name: CallName,
    parts: PartsIn,
    context: CallContext,
  ): Promise<SuccessfulAnswer> {
    const changesNothing = apiVersion.routes[name].method === 'GET';
    const send = (activeVersion: ApiVersion) =>
      this.#retrying(changesNothing, context, () =>
        this.#authorized(activeVersion, name, parts(activeVersion), context),
      );
    try {
      return await send(apiVersion);
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed) || !error.mayBeAnotherVersion) throw error;
      const other = await this.#redetect(apiVersion, context);
      if (other === apiVersion) throw error;
      const failure = error.inVersion(other.name);
      const { call, reason } = failure;
      const wasNotCarriedOut = reason === 'routeNotFound' || reason === 'tokenDead' || call === 'login';
      if (!changesNothing && !wasNotCarriedOut) throw failure;
      return send(other);
    }
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

  #retrying<T>(changesNothing: boolean, context: CallContext, send: () => Promise<T>): Promise<T> {
    const { budget, minCallMs } = this.settings;
    return retrying({ changesNothing, context, clock: this.time, budget, minCallMs }, send);
  }

  /** Sends with our token. The server finds a dead token before it does anything, so repeating with a new one is safe for writes too. */
  async #authorized(
    apiVersion: ApiVersion,
    name: CallName,
    parts: CallParts,
    context: CallContext,
  ): Promise<SuccessfulAnswer> {
    const { requestTimeoutMs, minCallMs } = this.settings;
    const send = (bearer: string) => {
      const maxWaitMs = remainingMs(context.deadline, this.time);
      if (maxWaitMs < minCallMs) throw callFailureOf(apiVersion, name, 'outOfTime');
      const timeoutMs = Math.min(requestTimeoutMs, maxWaitMs);
      const request = { ...parts, bearer, timeoutMs, maxWaitMs, minCallMs, signal: context.signal };
      return executeRequest(this.client, apiVersion, name, request);
    };
    const bearer = await this.token(context);
    try {
      return await send(bearer);
    } catch (error: unknown) {
      if (!failedBecause(error, 'tokenDead')) throw error;
      if (!this.session.discard(bearer)) throw error;
    }
    const fresh = await this.token(context);
    try {
      const answer = await send(fresh);
      this.session.replacementAccepted();
      return answer;
    } catch (error: unknown) {
      if (failedBecause(error, 'tokenDead')) this.session.replacementRefused(fresh);
      throw error;
    }
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
