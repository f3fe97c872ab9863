import { type Credentials, credentialsOf } from './credentials.js';
import {
  errorOf,
  field,
  noConditionalWrites,
  notUnderstood,
  orLost,
  OutcomeUnknownError,
  PreconditionFailedError,
  SecretAlreadyExistsError,
  NotGrantedError,
  SecretNotFoundError,
  UnauthenticatedError,
  UnavailableError,
} from './errors.js';
import {
  type CallOptions,
  type Environment,
  type ListOptions,
  type ReadOptions,
  rootOf,
  type Secret,
  type SecretVaultOptions,
  type WatchOptions,
} from './options.js';
import { ReadCache, watchValue } from './repeated-reads.js';
import {
  type Answer,
  isToken,
  type Operation,
  pause,
  pauseMs,
  send,
  type TransportOptions,
  untilAborted,
} from './transport.js';

/** How often `update(name, change)` and `put` begin anew while others write the same secret. */
const MAX_ATTEMPTS = 1_000;
const MAX_CONFLICT_PAUSE_MS = 250;

/**
 * The secrets of one workspace and environment. Every method throws a SecretVaultError, or the reason of its signal. It repeats what is
 * safe to repeat: reads always, writes where the service did nothing. One object is for the whole process: it shares its tokens.
 */
export class SecretVault {
  readonly #base: string;
  readonly #query: string;
  readonly #environment: Environment;
  readonly #credentials: Credentials;
  readonly #userToken: () => Promise<string | undefined>;
  readonly #transport: TransportOptions;
  readonly #cache: ReadCache | undefined;

  constructor(options: SecretVaultOptions) {
    const {
      url,
      systemServer,
      workspace,
      environment = 'prod',
      userToken,
      timeoutMs = 10_000,
      maxRetries = 4,
    } = options;
    const root = rootOf(url, systemServer);
    this.#base =
      systemServer === undefined ? root : `${root}/system-server/v1alpha1/secret/secret.infisical/v1`;
    this.#query = `?workspace=${encodeURIComponent(workspace)}`;
    this.#environment = environment;
    this.#credentials = credentialsOf(options, root, timeoutMs);
    this.#userToken = async () => (typeof userToken === 'function' ? userToken() : userToken);
    this.#transport = { timeoutMs, maxRetries };
    this.#cache = options.cache && new ReadCache(options.cache);
  }

  /** @throws SecretNotFoundError */
  async retrieve(name: string, options: ReadOptions = {}): Promise<string> {
    const cached = options.noCache === true ? undefined : this.#cache?.fresh(name);
    if (cached !== undefined) return cached;
    const written = this.#cache?.generation();
    try {
      const { value } = await this.#read(name, options.signal);
      this.#cache?.set(name, value, written);
      return value;
    } catch (error: unknown) {
      const stale = error instanceof UnavailableError ? this.#cache?.stale(name) : undefined;
      if (stale !== undefined) return stale;
      if (error instanceof SecretNotFoundError || error instanceof NotGrantedError) this.#cache?.forget(name);
      throw error;
    }
  }

  /** Returns the fallback where there is no such secret; every other failure is thrown. */
  async getOr<T>(name: string, fallback: T, options: ReadOptions = {}): Promise<string | T> {
    try {
      return await this.retrieve(name, options);
    } catch (error: unknown) {
      if (error instanceof SecretNotFoundError) return fallback;
      throw error;
    }
  }

  /** Returns all secrets, by name ascending by UTF-16 code unit. */
  async list({ signal, onUnreadable }: ListOptions = {}): Promise<readonly Secret[]> {
    const { envelope } = await this.#call('ListSecret', {}, signal);
    const [data, unreadable] = [field(envelope, 'data'), field(envelope, 'unreadable')];
    if (!Array.isArray(data)) throw notUnderstood('ListSecret');
    if (Array.isArray(unreadable)) onUnreadable?.(unreadable.map(String));
    return data.map((secret: unknown) => {
      const [name, value] = [field(secret, 'name'), field(secret, 'value')];
      if (typeof name !== 'string' || typeof value !== 'string') throw notUnderstood('ListSecret');
      return { name, value };
    });
  }

  /** @throws SecretAlreadyExistsError, OutcomeUnknownError */
  async create(name: string, value: string, options: CallOptions = {}): Promise<void> {
    await this.#write('CreateSecret', { name, value }, options.signal);
  }

  /**
   * Overwrites a secret with a value; or with what `change` makes of the current one, in which case no update of anybody else is lost: where
   * another writer was faster, `change` is called again with its value. It must not have effects of its own, and may be called again with
   * a value that it has made, where the answer to its write was lost. Returning undefined leaves the secret as it is.
   * @returns the value that the secret has now
   * @throws SecretNotFoundError, OutcomeUnknownError (of `change` in place of each failure after a write that was not confirmed)
   */
  async update(
    name: string,
    change: string | ((current: string) => string | undefined | Promise<string | undefined>),
    options: CallOptions = {},
  ): Promise<string> {
    const { signal } = options;
    const { maxRetries } = this.#transport;
    if (typeof change === 'string') {
      await this.#write('UpdateSecret', { name, value: change }, signal);
      return change;
    }
    // Kept to the end: a write that was not confirmed may happen after later ones were refused.
    let lostError: OutcomeUnknownError | undefined;
    let unconfirmed: string | undefined;
    for (let attempts = 1, unknown = 0; ; attempts++) {
      const { value: current, etag } = await this.#read(name, signal).catch((error: unknown) => {
        throw orLost(lostError, error);
      });
      if (current === unconfirmed) return current;
      if (etag === undefined) throw orLost(lostError, noConditionalWrites());
      const value = await change(current);
      if (value === undefined || value === current) return current;
      try {
        await this.#write('UpdateSecret', { name, value }, signal, { 'if-match': etag });
        return value;
      } catch (error: unknown) {
        const isLost = error instanceof OutcomeUnknownError;
        if (isLost) lostError = error;
        const mayGoOn = isLost ? unknown++ < maxRetries : error instanceof PreconditionFailedError;
        if (!mayGoOn || attempts >= MAX_ATTEMPTS) throw orLost(lostError, error);
        unconfirmed = isLost ? value : undefined;
      }
      await pause(Math.min(MAX_CONFLICT_PAUSE_MS, pauseMs(attempts % 8)) * Math.random(), signal);
    }
  }

  /** Stores the value, whether there is a secret of this name or not. The last of several writers wins. */
  async put(name: string, value: string, options: CallOptions = {}): Promise<void> {
    let lost: OutcomeUnknownError | undefined;
    for (let attempts = 1, unknown = 0; ; attempts++) {
      for (const operation of ['UpdateSecret', 'CreateSecret'] as const) {
        try {
          return await this.#write(operation, { name, value }, options.signal);
        } catch (error: unknown) {
          const isRaced = error instanceof SecretNotFoundError || error instanceof SecretAlreadyExistsError;
          if (error instanceof OutcomeUnknownError) lost = error;
          // The same value once more does no harm.
          const isUnknown = error === lost && unknown++ < this.#transport.maxRetries;
          if (!(isRaced || isUnknown) || attempts >= MAX_ATTEMPTS) throw orLost(lost, error);
          if (!isRaced) break;
        }
      }
      await pause(pauseMs(Math.min(attempts, 5)), options.signal);
    }
  }

  /** @throws SecretNotFoundError, OutcomeUnknownError */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#write('DeleteSecret', { name }, options.signal);
  }

  /** See watchValue(). */
  watch(name: string, options: WatchOptions = {}): AsyncGenerator<string | undefined, void, void> {
    const { signal } = options;
    const read = () => this.getOr(name, undefined, { noCache: true, ...(signal && { signal }) });
    return watchValue(read, options);
  }

  async #read(
    name: string,
    signal?: AbortSignal,
  ): Promise<{ readonly value: string; readonly etag?: string }> {
    const { envelope, etag } = await this.#call('RetrieveSecret', { name }, signal);
    const value = field(field(envelope, 'data'), 'value');
    if (typeof value !== 'string') throw notUnderstood('RetrieveSecret');
    return { value, ...(etag !== undefined && { etag }) };
  }

  async #write(
    operation: Exclude<Operation, 'RetrieveSecret' | 'ListSecret'>,
    body: { readonly name: string; readonly value?: string },
    signal?: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    this.#cache?.forget(body.name);
    try {
      await this.#call(operation, body, signal, headers);
    } finally {
      this.#cache?.forget(body.name);
    }
  }

  async #call(
    operation: Operation,
    body: object,
    signal: AbortSignal | undefined,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const isRead = operation === 'RetrieveSecret' || operation === 'ListSecret';
    for (let isRepeated = false; ; isRepeated = true) {
      const own = await untilAborted(() => this.#credentials.headers(operation), signal);
      const userToken = await untilAborted(this.#userToken, signal);
      if (userToken !== undefined && !isToken(userToken))
        throw errorOf('UNAUTHENTICATED', "The user's token is empty, or cannot be sent in a header.");
      const headers = { ...own, ...(userToken !== undefined && { 'x-authorization': userToken }), ...more };
      const call = {
        url: this.#base + `/${operation}` + this.#query,
        body: { ...body, env: this.#environment },
        headers,
        isRead,
        signal,
      };
      try {
        return await send(call, this.#transport);
      } catch (error: unknown) {
        const mayRenew = error instanceof UnauthenticatedError && error.reason === 'UNAUTHENTICATED';
        if (!mayRenew || isRepeated || !this.#credentials.refused(own)) throw error;
      }
    }
  }
}
