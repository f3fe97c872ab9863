import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../clock/clock';
import { remainingMs, type Deadline } from './deadline';
import type { CallName, Dialect } from './dialect';
import { exchange, failureOf, type CallParts } from './exchange';
import { failedBecause } from './infisical-call-failed';
import type { InfisicalClient } from './infisical-client';
import type { MachineSession } from './machine-session';
import { retrying } from './retrying';

export interface ApiSettings {
  readonly dialect: () => Promise<Dialect>;
  readonly requestTimeoutMs: number;
}

/** Calls Infisical as our machine identity: a token that died is replaced once, and what is safe to repeat is. */
export class InfisicalApi {
  constructor(
    private readonly client: InfisicalClient,
    private readonly session: MachineSession,
    private readonly clock: Clock,
    private readonly settings: ApiSettings,
  ) {}

  dialect(): Promise<Dialect> {
    return this.settings.dialect();
  }

  /**
   * @param read what the caller needs of the answer; undefined when the answer is not of that shape
   * @throws InfisicalCallFailed
   */
  async call<T>(
    name: CallName,
    parts: CallParts,
    read: (body: unknown) => T | undefined,
    deadline: Deadline,
  ): Promise<T> {
    const dialect = await this.dialect();
    const changesNothing = dialect.routes[name].method === 'GET';
    const body = await retrying(changesNothing, deadline, this.clock, () =>
      this.#authorized(dialect, name, parts, deadline),
    );
    const answer = read(body);
    if (answer === undefined) throw failureOf(dialect, name, 'unexpectedAnswer');
    return answer;
  }

  close(): void {
    this.client.close();
  }

  /** A dead token is found before anything is done, so that the replay is safe for writes too. */
  async #authorized(
    dialect: Dialect,
    name: CallName,
    parts: CallParts,
    deadline: Deadline,
  ): Promise<unknown> {
    const send = (bearer: string) =>
      exchange(this.client, dialect, name, {
        ...parts,
        bearer,
        timeoutMs: Math.min(this.settings.requestTimeoutMs, this.#leftMs(dialect, name, deadline)),
      });
    const bearer = await this.#token(dialect, deadline);
    try {
      return await send(bearer);
    } catch (error: unknown) {
      if (!failedBecause(error, 'tokenDead')) throw error;
      this.session.discard(bearer);
      return send(await this.#token(dialect, deadline));
    }
  }

  /** A login is shared: it goes on for the others when this call has no more time for it. */
  async #token(dialect: Dialect, deadline: Deadline): Promise<string> {
    const ready = this.session.ready();
    if (ready !== undefined) return ready;
    const stop = new AbortController();
    const late = pause(this.#leftMs(dialect, 'login', deadline), undefined, { signal: stop.signal }).then(
      () => {
        throw failureOf(dialect, 'login', 'timedOut');
      },
    );
    try {
      return await Promise.race([this.session.token(), late]);
    } finally {
      stop.abort();
      late.catch(() => undefined);
    }
  }

  #leftMs(dialect: Dialect, name: CallName, deadline: Deadline): number {
    const leftMs = remainingMs(deadline, this.clock);
    if (leftMs <= 0) throw failureOf(dialect, name, 'outOfTime');
    return leftMs;
  }
}
