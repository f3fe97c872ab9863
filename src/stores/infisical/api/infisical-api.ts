import type { MonotonicTime } from '../../../time/clock';
import { remainingMs, type Deadline, withinMs } from '../../../time/deadline';
import type { ApiVersion } from '../versions/api-version';
import type { CallName } from '../versions/calls';
import type { ApiVersionSource } from '../versions/version-probe';
import { executeRequest, callFailureOf, type Answered, type CallParts } from './execute-request';
import { failedBecause, InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { InfisicalClient } from '../transport/infisical-client';
import type { MachineSession } from '../auth/machine-session';
import { type RetryBudget, retrying } from '../transport/retrying';
import type { WaitLimit } from '../scope-queue';

export interface ApiSettings {
  readonly apiVersions: ApiVersionSource;
  readonly requestTimeoutMs: number;
  /** A call that has less time than this left is not sent: it would be cut off before it could be answered. */
  readonly shortestCallMs: number;
  readonly budget: RetryBudget;
}

/** What a call sends, in the words of the dialect that is spoken when it is sent. */
export type PartsIn = (apiVersion: ApiVersion) => CallParts;

/** Calls Infisical as our machine identity: a token that died is replaced once, and what is safe to repeat is. */
export class InfisicalApi {
  constructor(
    private readonly client: InfisicalClient,
    private readonly session: MachineSession,
    private readonly time: MonotonicTime,
    private readonly settings: ApiSettings,
  ) {}

  /** @throws InfisicalCallFailed where it has to be found out first and cannot */
  async apiVersion(deadline: Deadline): Promise<ApiVersion> {
    const { apiVersions } = this.settings;
    return (
      apiVersions.known() ??
      this.#retrying(true, deadline, () => this.shared('probe', apiVersions.current(), deadline))
    );
  }

  knownApiVersion(): ApiVersion | undefined {
    return this.settings.apiVersions.known();
  }

  /**
   * @param read what the caller needs of the answer; undefined when the answer is not of that shape
   * @throws InfisicalCallFailed
   */
  async call<T>(
    name: CallName,
    parts: PartsIn,
    read: (body: unknown, answer: Answered) => T | undefined,
    deadline: Deadline,
  ): Promise<T> {
    const apiVersion = await this.apiVersion(deadline);
    const answer = await this.#inVersion(apiVersion, name, parts, deadline);
    const wanted = read(answer.body, answer);
    if (wanted === undefined) throw callFailureOf(apiVersion, name, 'unexpectedAnswer');
    return wanted;
  }

  /** The token of the latest login. */
  heldToken(): string | undefined {
    return this.session.held;
  }

  close(): void {
    this.client.close();
  }

  /**
   * Answers that do not fit make us look again which server it is: it may have been replaced while we run. What was
   * refused for the sake of the route or the token was not carried out, so that it is sent in the other dialect.
   */
  async #inVersion(
    apiVersion: ApiVersion,
    name: CallName,
    parts: PartsIn,
    deadline: Deadline,
  ): Promise<Answered> {
    const changesNothing = apiVersion.routes[name].method === 'GET';
    const send = (activeVersion: ApiVersion) =>
      this.#retrying(changesNothing, deadline, () =>
        this.#authorized(activeVersion, name, parts(activeVersion), deadline),
      );
    try {
      return await send(apiVersion);
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed) || !error.mayBeAnotherVersion) throw error;
      const other = await this.#reconsidered(apiVersion, deadline);
      if (other === apiVersion) throw error;
      const failure = error.readAs(other.name);
      const { call, reason } = failure;
      const wasNotCarriedOut = reason === 'routeNotFound' || reason === 'tokenDead' || call === 'login';
      if (!changesNothing && !wasNotCarriedOut) throw failure;
      return send(other);
    }
  }

  /** Where it cannot be found out, what failed before says more than why. */
  async #reconsidered(suspected: ApiVersion, deadline: Deadline): Promise<ApiVersion> {
    try {
      return await this.shared('probe', this.settings.apiVersions.reconsidered(suspected), deadline);
    } catch (error: unknown) {
      if (error instanceof InfisicalCallFailed) return suspected;
      throw error;
    }
  }

  #retrying<T>(changesNothing: boolean, deadline: Deadline, send: () => Promise<T>): Promise<T> {
    const { time, settings } = this;
    const { budget, shortestCallMs } = settings;
    return retrying({ changesNothing, deadline, clock: time, budget, shortestCallMs }, send);
  }

  /** A dead token is found before anything is done, so that the replay is safe for writes too. */
  async #authorized(
    apiVersion: ApiVersion,
    name: CallName,
    parts: CallParts,
    deadline: Deadline,
  ): Promise<Answered> {
    const send = (bearer: string) => {
      const maxWaitMs = this.#leftMs(apiVersion, name, deadline);
      const { requestTimeoutMs, shortestCallMs: shortestMs } = this.settings;
      const timeoutMs = Math.min(requestTimeoutMs, maxWaitMs);
      return executeRequest(this.client, apiVersion, name, {
        ...parts,
        bearer,
        timeoutMs,
        maxWaitMs,
        shortestMs,
      });
    };
    const bearer = await this.token(deadline);
    try {
      return await send(bearer);
    } catch (error: unknown) {
      if (!failedBecause(error, 'tokenDead')) throw error;
      if (!this.session.discard(bearer)) throw error;
    }
    const fresh = await this.token(deadline);
    try {
      const answer = await send(fresh);
      this.session.trust();
      return answer;
    } catch (error: unknown) {
      if (failedBecause(error, 'tokenDead')) this.session.mistrust(fresh);
      throw error;
    }
  }

  /** The token that calls are made with, after a login where there is none. @throws InfisicalCallFailed */
  async token(deadline: Deadline): Promise<string> {
    return this.session.ready() ?? this.shared('login', this.session.token(), deadline);
  }

  /** Work that is shared goes on for the others when this call has no more time for it. */
  shared<T>(call: CallName | 'probe', work: Promise<T>, deadline: Deadline): Promise<T> {
    return withinMs(
      remainingMs(deadline, this.time),
      work,
      () => new InfisicalCallFailed({ call, method: '', pathTemplate: '', reason: 'outOfTime' }),
    );
  }

  /** Of what waits for others before it sends anything. */
  waitLimit(call: CallName, deadline: Deadline): WaitLimit {
    const late = (): Error =>
      new InfisicalCallFailed({ call, method: '', pathTemplate: '', reason: 'outOfTime' });
    return { ms: remainingMs(deadline, this.time), late };
  }

  #leftMs(apiVersion: ApiVersion, name: CallName, deadline: Deadline): number {
    const leftMs = remainingMs(deadline, this.time);
    if (leftMs < this.settings.shortestCallMs) throw callFailureOf(apiVersion, name, 'outOfTime');
    return leftMs;
  }
}
