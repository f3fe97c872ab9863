import { readFile } from 'node:fs/promises';
import { hash } from 'bcryptjs';
import {
  errorOf,
  field,
  mayPass,
  NotGrantedError,
  refusalIn,
  SecretVaultError,
  UnnamedRefusal,
} from './errors.js';
import type { SecretVaultOptions } from './options.js';
import { isToken, MAX_RETRY_AFTER_MS, type Operation, parsed, pause, pauseMs, post } from './transport.js';

/** What a request is sent with, and how to get another of it where it was refused. */
export interface Credentials {
  /** @param operation that they are for */
  headers(operation: Operation): Promise<Readonly<Record<string, string>>>;
  /** Notes that these headers were refused. Returns whether others may be accepted. */
  refused(headers: Readonly<Record<string, string>>): boolean;
}

interface AppProof {
  /** Where `/permission/v1alpha1/access` is. */
  readonly url: string;
  readonly appKey: string;
  readonly appSecret: string;
  readonly workspace: string;
  readonly timeoutMs: number;
}

/** The cost that the service accepts. */
const BCRYPT_COST = 10;
const MAX_ATTEMPTS = 5;
/** How long an operation that was refused is not asked for: its grant may have been approved since. */
const ASK_AGAIN_MS = 60_000;
/** How often the renewal of a token that is still good is tried where it fails. */
const RENEW_AGAIN_MS = 5_000;
const PROVIDER = { dataType: 'secret', group: 'secret.infisical', version: 'v1' };

const OPERATIONS: readonly Operation[] = [
  'RetrieveSecret',
  'CreateSecret',
  'UpdateSecret',
  'DeleteSecret',
  'ListSecret',
];

interface AccessToken {
  readonly token: string;
  readonly operations: readonly Operation[];
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

/**
 * Gets one access token for all that the app holds. The service names the operation that it refuses; system-server does not, so that from
 * then on there is a token for each operation.
 */
class AccessTokens implements Credentials {
  readonly #forAll: AccessTokensFor;
  readonly #forEach: Readonly<Record<Operation, AccessTokensFor>>;
  #isNoneForAll = false;

  constructor(proof: AppProof) {
    this.#forAll = new AccessTokensFor(OPERATIONS, proof);
    this.#forEach = Object.fromEntries(
      OPERATIONS.map((operation) => [operation, new AccessTokensFor([operation], proof)]),
    ) as Record<Operation, AccessTokensFor>;
  }

  async headers(operation: Operation): Promise<Readonly<Record<string, string>>> {
    if (!this.#isNoneForAll)
      try {
        return await this.#forAll.headers(operation);
      } catch (error: unknown) {
        if (!(error instanceof UnnamedRefusal)) throw error;
        this.#isNoneForAll = true;
      }
    return this.#forEach[operation].headers(operation);
  }

  refused(headers: Readonly<Record<string, string>>): boolean {
    for (const tokens of [this.#forAll, ...Object.values(this.#forEach)]) tokens.refused(headers);
    return true;
  }
}

/**
 * Gets access tokens for some operations by the app's key and secret: one at a time, and a new one when four fifths of its life are over.
 * The old one is used until it ends. An operation that was refused is sent with the token of the others: the service says why it is refused.
 */
class AccessTokensFor {
  readonly #proof: AppProof;
  readonly #all: readonly Operation[];
  #token: AccessToken | undefined;
  #pending: Promise<AccessToken> | undefined;
  /** What the app does not hold, by the clock that nobody sets: the service issues no token for it. */
  readonly #refusals = new Map<Operation, { readonly error: SecretVaultError; readonly atMs: number }>();

  constructor(operations: readonly Operation[], proof: AppProof) {
    this.#all = operations;
    this.#proof = proof;
  }

  async headers(operation: Operation): Promise<Readonly<Record<string, string>>> {
    const refusal = this.#refusals.get(operation);
    const isRefused = refusal !== undefined && performance.now() - refusal.atMs < ASK_AGAIN_MS;
    if (!isRefused) this.#refusals.delete(operation);
    const [token, nowMs] = [this.#token, Date.now()];
    const isGood = token !== undefined && nowMs < token.expiresAtMs;
    if (isGood && (isRefused || token.operations.includes(operation))) {
      if (nowMs >= token.renewAtMs && !isRefused) {
        this.#token = { ...token, renewAtMs: nowMs + RENEW_AGAIN_MS };
        this.#renewed().catch(() => undefined);
      }
      return { 'x-access-token': token.token };
    }
    if (isRefused) throw refusal.error;
    try {
      return { 'x-access-token': (await this.#renewed()).token };
    } catch (error: unknown) {
      throw this.#refusals.get(operation)?.error ?? error;
    }
  }

  refused(headers: Readonly<Record<string, string>>): void {
    if (headers['x-access-token'] === this.#token?.token) this.#token = undefined;
  }

  #renewed(): Promise<AccessToken> {
    this.#pending ??= this.#request().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  async #request(): Promise<AccessToken> {
    for (let attempts = 1; ;) {
      const operations = this.#all.filter((operation) => !this.#refusals.has(operation));
      try {
        return (this.#token = await this.#ask(operations));
      } catch (error: unknown) {
        if (!(error instanceof SecretVaultError)) throw error;
        if (error instanceof NotGrantedError && this.#withdraw(operations, error)) continue;
        const waitMs = mayPass(error) ? pauseMs(attempts, error.details.retryAfterSeconds) : Infinity;
        if (attempts++ >= MAX_ATTEMPTS || waitMs > MAX_RETRY_AFTER_MS) throw error;
        await pause(waitMs);
      }
    }
  }

  /** Notes what was refused: all where the error names none. Returns whether there are others to ask for. */
  #withdraw(operations: readonly Operation[], error: NotGrantedError): boolean {
    const { grant } = error.details;
    const refused = operations.filter((operation) => grant === undefined || grant === this.#op(operation));
    for (const operation of refused) this.#refusals.set(operation, { error, atMs: performance.now() });
    return refused.length > 0 && refused.length < operations.length;
  }

  #op(operation: Operation): string {
    return `${operation}?workspace=${this.#proof.workspace}`;
  }

  async #ask(operations: readonly Operation[]): Promise<AccessToken> {
    const { url, appKey, appSecret, timeoutMs } = this.#proof;
    const askedAtMs = Date.now();
    const timestamp = Math.floor(askedAtMs / 1000);
    const token = await hash(`${appKey}${timestamp}${appSecret}`, BCRYPT_COST);
    const perm = { ...PROVIDER, ops: operations.map((operation) => this.#op(operation)) };
    const request = { app_key: appKey, timestamp, token, perm };
    let exchange: Awaited<ReturnType<typeof post>>;
    try {
      exchange = await post(`${url}/permission/v1alpha1/access`, request, {}, timeoutMs);
    } catch (error: unknown) {
      if (error instanceof SecretVaultError) throw error;
      throw errorOf('UNREACHABLE', 'No access token: the service cannot be reached, or did not answer.');
    }
    const body = parsed(exchange.text);
    const data = field(body, 'data');
    const accessToken = field(data, 'access_token');
    const expiredAt = Date.parse(String(field(data, 'expired_at')));
    const isIssued = exchange.response.status === 200 && field(body, 'code') === 0;
    if (isIssued && isToken(accessToken) && Number.isFinite(expiredAt)) {
      const renewAtMs = askedAtMs + 0.8 * (expiredAt - askedAtMs);
      return { token: accessToken, operations, renewAtMs, expiresAtMs: expiredAt };
    }
    throw refusalIn(exchange.response, body, perm.ops);
  }
}

interface TokenFiles {
  /** The ServiceAccount token with the service's audience; the kubelet writes a new one before it expires. */
  readonly serviceAccountTokenFile: string;
  /** Behind an RBAC proxy without an envoy sidecar (Olares 1.12.7 and later): the pod's own token, which the proxy reads. */
  readonly podTokenFile?: string | undefined;
}

/** How long a token that was read is used: the kubelet renews it when a fifth of its life is left, which is more than two minutes. */
const READ_AGAIN_MS = 60_000;

/** Sends the pod's ServiceAccount token, which is read anew each minute and when it was refused. */
class ServiceAccountToken implements Credentials {
  #read: { readonly headers: Readonly<Record<string, string>>; readonly atMs: number } | undefined;

  constructor(private readonly files: TokenFiles) {}

  async headers(): Promise<Readonly<Record<string, string>>> {
    if (this.#read === undefined || Date.now() - this.#read.atMs >= READ_AGAIN_MS) {
      const { serviceAccountTokenFile, podTokenFile } = this.files;
      const ours = `Bearer ${await tokenIn(serviceAccountTokenFile)}`;
      const headers: Record<string, string> =
        podTokenFile === undefined
          ? { authorization: ours }
          : { authorization: `Bearer ${await tokenIn(podTokenFile)}`, 'temp-authorization': ours };
      this.#read = { headers, atMs: Date.now() };
    }
    return this.#read.headers;
  }

  refused(headers: Readonly<Record<string, string>>): boolean {
    const wasOlder = this.#read === undefined || Date.now() - this.#read.atMs > 1_000;
    if (this.#read?.headers['authorization'] === headers['authorization']) this.#read = undefined;
    return wasOlder;
  }
}

async function tokenIn(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch {
    throw errorOf('UNAUTHENTICATED', `The token file ${file} cannot be read.`);
  }
  if (!isToken(text)) throw errorOf('UNAUTHENTICATED', `The file ${file} holds no token.`);
  return text;
}

/** @param url of rootOf() */
export function credentialsOf(options: SecretVaultOptions, url: string, timeoutMs: number): Credentials {
  const { appKey, appSecret, workspace, serviceAccountTokenFile, podTokenFile } = options;
  if (serviceAccountTokenFile !== undefined)
    return new ServiceAccountToken({ serviceAccountTokenFile, podTokenFile });
  if (appKey === undefined || appSecret === undefined)
    throw new TypeError('SecretVault needs appKey and appSecret, or serviceAccountTokenFile.');
  return new AccessTokens({ url, appKey, appSecret, workspace, timeoutMs });
}
