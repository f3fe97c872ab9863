import { SingleFlight } from '../../../concurrency/keyed-work';
import type { LogEvent } from '../../../logging/log';
import type { Reloadable } from '../../../reloadable/reloadable';
import type { Clock } from '../../../time/clock';
import { failedBecause, type InfisicalCallFailed } from '../versions/infisical-call-failed';

export interface Lease {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
}

/** A way to log in: Universal Auth or Kubernetes Auth. */
export interface Login {
  /** Sends no token with the login: the servers would check it first, and refuse an old one. */
  readonly logIn: () => Promise<Lease>;
  /** The credentials of the login; new ones are tried at once, while the token of the old ones still works. */
  readonly credentials: Reloadable<unknown>;
}

/** The part of a token's lifetime after which it is renewed, and the spread around it between instances. */
const RENEW_AT = 0.8;
const RENEW_SPREAD = 0.05;
const RENEWAL_PAUSE_MS = 30_000;

/**
 * Holds the one token of this process. It renews it by a new login, because the servers' own renewal destroys a token
 * whose lifetime is also its maximum.
 */
export class MachineSession {
  readonly #logins = new SingleFlight<string>();
  #token: { readonly accessToken: string; readonly endsAtMs: number } | undefined;
  #renewAtMs = 0;
  /** The credentials of the latest login attempt. */
  #triedCredentials: unknown;
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

  /** Returns the current token, or undefined when it is time for another. */
  ready(): string | undefined {
    const isDue =
      this.clock.nowMs() >= this.#renewAtMs || this.login.credentials.current() !== this.#triedCredentials;
    return isDue ? undefined : this.#token?.accessToken;
  }

  /** The current token, whatever its age. */
  get held(): string | undefined {
    return this.#token?.accessToken;
  }

  /** The end of the current token, in milliseconds since the epoch; 0 after it was discarded, undefined before the first. */
  get endsAtMs(): number | undefined {
    return this.#token?.endsAtMs ?? (this.#renewAtMs > 0 ? 0 : undefined);
  }

  /**
   * Returns a token, after a login if there is none; one that is due for renewal is used while the login is under way.
   * @throws InfisicalCallFailed, without a login during a pause after refused credentials
   */
  async token(): Promise<string> {
    const ready = this.ready();
    if (ready !== undefined) return ready;
    const renewal = this.#logins.run('login', () => this.#renew());
    const token = this.#token;
    if (token === undefined || this.clock.nowMs() >= token.endsAtMs) return renewal;
    renewal.catch(() => undefined);
    return token.accessToken;
  }

  /**
   * Drops this token after the server refused it; a newer one, from another call's login, stays.
   * Returns whether another login makes sense. It does not where the last token that replaced a dead one was refused at once.
   */
  discard(accessToken: string): boolean {
    if (this.#token?.accessToken !== accessToken) return true;
    if (this.#refusedTokens.isOn) return false;
    this.#token = undefined;
    return true;
  }

  /** Notes that a token that replaced a dead one was refused too. It is kept: other calls may succeed with it. */
  replacementRefused(accessToken: string): void {
    if (this.#token?.accessToken !== accessToken || this.#refusedTokens.isOn) return;
    this.log('warn', 'infisical_token_refused', this.#refusedTokens.begin());
  }

  /** Notes that a token that replaced a dead one was accepted. */
  replacementAccepted(): void {
    this.#refusedTokens.end();
  }

  async #renew(): Promise<string> {
    try {
      if (this.login.credentials.current() !== this.#triedCredentials) this.#refusedCredentials.end();
      if (this.#refusedCredentials.isOn && this.#refusal !== undefined) throw this.#refusal;
      return this.#setToken(await this.#logIn());
    } catch (error: unknown) {
      if (failedBecause(error, 'credentialsRefused') && error !== this.#refusal) this.#pause(error);
      const token = this.#token;
      if (token === undefined || this.clock.nowMs() >= token.endsAtMs) throw error;
      // The old token still has a fifth of its lifetime: try to renew it a little later.
      this.#renewAtMs = this.clock.nowMs() + RENEWAL_PAUSE_MS;
      return token.accessToken;
    }
  }

  /** Logs in, and once more where the refused credentials were replaced meanwhile. */
  async #logIn(): Promise<Lease> {
    const { logIn, credentials } = this.login;
    this.#triedCredentials = credentials.current();
    try {
      return await logIn();
    } catch (error: unknown) {
      if (!failedBecause(error, 'credentialsRefused') || credentials.renewed() === this.#triedCredentials)
        throw error;
      this.#triedCredentials = credentials.current();
      return logIn();
    }
  }

  #setToken({ accessToken, expiresInSeconds }: Lease): string {
    const lifetimeMs = expiresInSeconds * 1000;
    const share = RENEW_AT + (Math.random() - 0.5) * RENEW_SPREAD;
    const nowMs = this.clock.nowMs();
    this.#token = { accessToken, endsAtMs: nowMs + lifetimeMs };
    this.#renewAtMs = nowMs + lifetimeMs * share;
    this.#refusedCredentials.end();
    this.log('info', 'infisical_login_succeeded', { lifetimeMs });
    return accessToken;
  }

  #pause(failure: InfisicalCallFailed): void {
    this.#refusal = failure;
    this.log('warn', 'infisical_login_refused', {
      status: failure.status ?? 0,
      ...this.#refusedCredentials.begin(),
    });
  }
}

/** Longer than the 30 s in which newer servers count three refusals before they lock the identity. */
const FIRST_PAUSE_MS = 60_000;
const MAX_PAUSE_MS = 300_000;

/** A pause after a refusal, which doubles with each further refusal. */
class RefusalPause {
  #refusals = 0;
  #sinceMs = 0;
  #pauseMs = 0;

  constructor(private readonly clock: Clock) {}

  /** Returns what the log shows. */
  begin(): { readonly refusals: number; readonly pauseMs: number } {
    this.#sinceMs = this.clock.nowMs();
    this.#pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#refusals++);
    return { refusals: this.#refusals, pauseMs: this.#pauseMs };
  }

  /** A clock that was set back does not extend the pause. */
  get isOn(): boolean {
    const pausedMs = this.clock.nowMs() - this.#sinceMs;
    return pausedMs >= 0 && pausedMs < this.#pauseMs;
  }

  /** Ends the pause; the next one is as short as the first. */
  end(): void {
    this.#refusals = 0;
    this.#pauseMs = 0;
  }
}
