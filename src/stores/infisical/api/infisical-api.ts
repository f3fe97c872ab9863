import type { MonotonicTime } from '../../../time/clock';
import { remainingMs, type Deadline, withinMs } from '../../../time/deadline';
import type { CallName, Dialect } from '../versions/api-version';
import type { DialectSource } from '../versions/version-probe';
import { exchange, failureOf, type Answered, type CallParts } from './execute-request';
import { failedBecause, InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { InfisicalClient } from '../transport/infisical-client';
import type { MachineSession } from '../auth/machine-session';
import { type RetryBudget, retrying } from '../transport/retrying';
import type { Patience } from '../scope-queue';

export interface ApiSettings {
  readonly dialects: DialectSource;
  readonly requestTimeoutMs: number;
  /** A call that has less time than this left is not sent: it would be cut off before it could be answered. */
  readonly shortestCallMs: number;
  readonly budget: RetryBudget;
}

/** What a call sends, in the words of the dialect that is spoken when it is sent. */
export type PartsIn = (dialect: Dialect) => CallParts;

/** Calls Infisical as our machine identity: a token that died is replaced once, and what is safe to repeat is. */
export class InfisicalApi {
  constructor(
    private readonly client: InfisicalClient,
    private readonly session: MachineSession,
    private readonly time: MonotonicTime,
    private readonly settings: ApiSettings,
  ) {}

  /** @throws InfisicalCallFailed where it has to be found out first and cannot */
  async dialect(deadline: Deadline): Promise<Dialect> {
    const { dialects } = this.settings;
    return (
      dialects.known() ??
      this.#retrying(true, deadline, () => this.shared('probe', dialects.current(), deadline))
    );
  }

  knownDialect(): Dialect | undefined {
    return this.settings.dialects.known();
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
    const dialect = await this.dialect(deadline);
    const answer = await this.#inDialect(dialect, name, parts, deadline);
    const wanted = read(answer.body, answer);
    if (wanted === undefined) throw failureOf(dialect, name, 'unexpectedAnswer');
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
  async #inDialect(dialect: Dialect, name: CallName, parts: PartsIn, deadline: Deadline): Promise<Answered> {
    const changesNothing = dialect.routes[name].method === 'GET';
    const send = (spoken: Dialect) =>
      this.#retrying(changesNothing, deadline, () => this.#authorized(spoken, name, parts(spoken), deadline));
    try {
      return await send(dialect);
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed) || !error.isDoubtful) throw error;
      const other = await this.#reconsidered(dialect, deadline);
      if (other === dialect) throw error;
      const failure = error.readAs(other.name);
      const { call, reason } = failure;
      const wasNotCarriedOut = reason === 'routeNotFound' || reason === 'tokenDead' || call === 'login';
      if (!changesNothing && !wasNotCarriedOut) throw failure;
      return send(other);
    }
  }

  /** Where it cannot be found out, what failed before says more than why. */
  async #reconsidered(doubted: Dialect, deadline: Deadline): Promise<Dialect> {
    try {
      return await this.shared('probe', this.settings.dialects.reconsidered(doubted), deadline);
    } catch (error: unknown) {
      if (error instanceof InfisicalCallFailed) return doubted;
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
    dialect: Dialect,
    name: CallName,
    parts: CallParts,
    deadline: Deadline,
  ): Promise<Answered> {
    const send = (bearer: string) => {
      const patienceMs = this.#leftMs(dialect, name, deadline);
      const { requestTimeoutMs, shortestCallMs: shortestMs } = this.settings;
      const timeoutMs = Math.min(requestTimeoutMs, patienceMs);
      return exchange(this.client, dialect, name, { ...parts, bearer, timeoutMs, patienceMs, shortestMs });
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
  patience(call: CallName, deadline: Deadline): Patience {
    const late = (): Error =>
      new InfisicalCallFailed({ call, method: '', pathTemplate: '', reason: 'outOfTime' });
    return { ms: remainingMs(deadline, this.time), late };
  }

  #leftMs(dialect: Dialect, name: CallName, deadline: Deadline): number {
    const leftMs = remainingMs(deadline, this.time);
    if (leftMs < this.settings.shortestCallMs) throw failureOf(dialect, name, 'outOfTime');
    return leftMs;
  }
}
