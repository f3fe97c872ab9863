import type { Clock } from '../../../time/clock';
import type { Reloadable } from '../../../reloadable/reloadable';
import { failedBecause, type InfisicalCallFailed } from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import { SingleFlight } from '../../../concurrency/single-flight';

/** Longer than the 30 s in which newer servers count three refusals before they lock the identity. */
const FIRST_MS = 60_000;
const LONGEST_MS = 300_000;

/** The rest that the server is given after a refusal; twice as long after each one that follows. */
class RefusalPause {
  #refusals = 0;
  #sinceMs = 0;
  #pauseMs = 0;

  constructor(private readonly clock: Clock) {}

  /** @returns for the log */
  begin(): { readonly refusals: number; readonly pauseMs: number } {
    this.#sinceMs = this.clock.nowMs();
    this.#pauseMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#refusals++);
    return { refusals: this.#refusals, pauseMs: this.#pauseMs };
  }

  /** A clock that was set back makes it no longer. */
  get isOn(): boolean {
    const restedMs = this.clock.nowMs() - this.#sinceMs;
    return restedMs >= 0 && restedMs < this.#pauseMs;
  }

  /** And the next is a first one again. */
  end(): void {
    this.#refusals = 0;
    this.#pauseMs = 0;
  }
}

/** What a login gives. */
export interface Lease {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
}

/** How to log in: Universal Auth or Kubernetes Auth. It carries no bearer: the servers would check that one first, and refuse. */
export type LoginMethod = () => Promise<Lease>;

export interface Login {
  readonly logIn: LoginMethod;
  /** What it logs in with; a new one is tried at once, while the token of the old one is still there. */
  readonly credentials: Reloadable<unknown>;
}

interface Token {
  readonly accessToken: string;
  readonly endsAtMs: number;
}

/** Part of a token's life after which it is renewed, and how far instances spread around it. */
const RENEW_AT = 0.8;
const RENEW_SPREAD = 0.05;
const RENEWAL_PAUSE_MS = 30_000;

/**
 * The one token of this process. Renewed by a fresh login, because the servers' own renewal destroys a token
 * whose lifetime is also its longest.
 */
export class MachineSession {
  readonly #logins = new SingleFlight<string>();
  #token: Token | undefined;
  #renewAtMs = 0;
  /** The credentials of the latest login, whatever came of it. */
  #tried: unknown;
  #refusal: InfisicalCallFailed | undefined;
  readonly #refusedCredentials: RefusalPause;
  readonly #refusedTokens: RefusalPause;

  constructor(
    private readonly login: Login,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {
    this.#refusedCredentials = new RefusalPause(clock);
    this.#refusedTokens = new RefusalPause(clock);
  }

  /** The token in hand, unless it is time for another. */
  ready(): string | undefined {
    const isTime = this.clock.nowMs() >= this.#renewAtMs || this.login.credentials.current() !== this.#tried;
    return isTime ? undefined : this.#token?.accessToken;
  }

  /** The token in hand, whatever its age. */
  get held(): string | undefined {
    return this.#token?.accessToken;
  }

  /** Of the token in hand, in milliseconds since the epoch; 0 once it was discarded, undefined before the first. */
  get endsAtMs(): number | undefined {
    return this.#token?.endsAtMs ?? (this.#renewAtMs > 0 ? 0 : undefined);
  }

  /** @throws InfisicalCallFailed, without asking again while refused credentials are given a rest */
  async token(): Promise<string> {
    return this.ready() ?? this.#logins.run('login', () => this.#renew());
  }

  /**
   * After the server called this token dead; a newer one, from somebody else's login, stays.
   * @returns whether another is worth a try: not where the last one that came in place of a dead one was dead at once
   */
  discard(accessToken: string): boolean {
    if (this.#token?.accessToken !== accessToken) return true;
    if (this.#refusedTokens.isOn) return false;
    this.#token = undefined;
    return true;
  }

  /** After a token that came in place of a dead one was called dead too. It is kept: other calls may get on with it. */
  mistrust(accessToken: string): void {
    if (this.#token?.accessToken !== accessToken || this.#refusedTokens.isOn) return;
    this.log('warn', 'infisical_token_refused', this.#refusedTokens.begin());
  }

  /** After a token that came in place of a dead one did its work. */
  trust(): void {
    this.#refusedTokens.end();
  }

  async #renew(): Promise<string> {
    try {
      const resting = this.#resting();
      if (resting !== undefined) throw resting;
      return this.#keep(await this.#logIn());
    } catch (error: unknown) {
      if (failedBecause(error, 'credentialsRefused') && error !== this.#refusal) this.#rest(error);
      const token = this.#token;
      if (token === undefined || this.clock.nowMs() >= token.endsAtMs) throw error;
      // The old token still has a fifth of its life: serve with it, and try again a little later.
      this.#renewAtMs = this.clock.nowMs() + RENEWAL_PAUSE_MS;
      return token.accessToken;
    }
  }

  /** Once more where the refused credentials have just been replaced. */
  async #logIn(): Promise<Lease> {
    const { logIn, credentials } = this.login;
    this.#tried = credentials.current();
    try {
      return await logIn();
    } catch (error: unknown) {
      if (!failedBecause(error, 'credentialsRefused') || credentials.renewed() === this.#tried) throw error;
      this.#tried = credentials.current();
      return logIn();
    }
  }

  #keep(lease: Lease): string {
    const lifetimeMs = lease.expiresInSeconds * 1000;
    const share = RENEW_AT + (Math.random() - 0.5) * RENEW_SPREAD;
    this.#token = { accessToken: lease.accessToken, endsAtMs: this.clock.nowMs() + lifetimeMs };
    this.#renewAtMs = this.clock.nowMs() + lifetimeMs * share;
    this.#refusedCredentials.end();
    this.log('info', 'infisical_login_succeeded', { lifetimeMs });
    return lease.accessToken;
  }

  /** Why it rests, while it does. New credentials were never refused. */
  #resting(): InfisicalCallFailed | undefined {
    if (this.login.credentials.current() !== this.#tried) this.#refusedCredentials.end();
    return this.#refusedCredentials.isOn ? this.#refusal : undefined;
  }

  #rest(failure: InfisicalCallFailed): void {
    this.#refusal = failure;
    this.log('warn', 'infisical_login_refused', {
      status: failure.status ?? 0,
      ...this.#refusedCredentials.begin(),
    });
  }
}
