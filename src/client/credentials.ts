import { readFile } from 'node:fs/promises';
import { hash } from 'bcryptjs';
import { errorOf, mayPass, NotGrantedError, SecretVaultError } from './errors.js';
import type { SecretVaultOptions } from './options.js';
import {
  field,
  given,
  isToken,
  MAX_RETRY_AFTER_MS,
  type Operation,
  parsed,
  pause,
  pauseMs,
  post,
  retryAfterSeconds,
} from './transport.js';

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
  readonly renewAtMs: number;
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
        if (!(error instanceof NotGrantedError) || error.details.grant !== undefined) throw error;
        this.#isNoneForAll = true;
      }
    return this.#forEach[operation].headers(operation);
  }

  refused(headers: Readonly<Record<string, string>>): boolean {
    for (const tokens of [this.#forAll, ...Object.values(this.#forEach)]) tokens.refused(headers);
    return true;
  }
}

/** Gets access tokens for some operations by the app's key and secret: one at a time, and a new one when four fifths of its life are over. */
class AccessTokensFor {
  readonly #proof: AppProof;
  readonly #all: readonly Operation[];
  #token: AccessToken | undefined;
  #pending: Promise<AccessToken> | undefined;
  /** Those that the app holds: the service refuses a token for more. */
  #operations: readonly Operation[];
  #withdrawnAtMs = 0;

  constructor(operations: readonly Operation[], proof: AppProof) {
    this.#all = this.#operations = operations;
    this.#proof = proof;
  }

  async headers(operation: Operation): Promise<Readonly<Record<string, string>>> {
    const isWithdrawn = this.#pending === undefined && !this.#operations.includes(operation);
    if (isWithdrawn && Date.now() - this.#withdrawnAtMs >= ASK_AGAIN_MS) {
      this.#operations = this.#all;
      this.#token = undefined;
    }
    if (this.#token === undefined || Date.now() >= this.#token.renewAtMs) {
      this.#pending ??= this.#request().finally(() => (this.#pending = undefined));
      this.#token = await this.#pending;
    }
    return { 'x-access-token': this.#token.token };
  }

  refused(headers: Readonly<Record<string, string>>): void {
    if (headers['x-access-token'] === this.#token?.token) this.#token = undefined;
  }

  async #request(): Promise<AccessToken> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await this.#ask();
      } catch (error: unknown) {
        if (!(error instanceof SecretVaultError)) throw error;
        if (error.reason === 'NOT_GRANTED' && this.#withdraw(error.details.grant)) continue;
        const waitMs = mayPass(error) ? pauseMs(attempts, error.details.retryAfterSeconds) : Infinity;
        if (attempts >= MAX_ATTEMPTS || waitMs > MAX_RETRY_AFTER_MS) throw error;
        await pause(waitMs);
      }
    }
  }

  /** Asks for a token without the operation that was refused, as long as there are others. */
  #withdraw(refused: string | undefined): boolean {
    const rest = this.#operations.filter((operation) => refused !== this.#op(operation));
    if (rest.length === 0 || rest.length === this.#operations.length) return false;
    this.#operations = rest;
    this.#withdrawnAtMs = Date.now();
    return true;
  }

  #op(operation: Operation): string {
    return `${operation}?workspace=${this.#proof.workspace}`;
  }

  async #ask(): Promise<AccessToken> {
    const { url, appKey, appSecret, timeoutMs } = this.#proof;
    const askedAtMs = Date.now();
    const timestamp = Math.floor(askedAtMs / 1000);
    const token = await hash(`${appKey}${timestamp}${appSecret}`, BCRYPT_COST);
    const perm = { ...PROVIDER, ops: this.#operations.map((operation) => this.#op(operation)) };
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
    if (isIssued && isToken(accessToken) && Number.isFinite(expiredAt))
      return { token: accessToken, renewAtMs: askedAtMs + 0.8 * (expiredAt - askedAtMs) };
    throw refusal(exchange.response, body, perm.ops);
  }
}

/** @param ops that were asked for; system-server names none of them, of a single one it is clear */
function refusal({ status, headers }: Response, body: unknown, ops: readonly string[]): SecretVaultError {
  const message = String(field(body, 'message'));
  const details = given({ status, retryAfterSeconds: retryAfterSeconds(headers, field(body, 'data')) });
  if (message.startsWith('permission required is not allowed')) {
    const [named] = /\w+Secret\?workspace=[\w.-]+/.exec(message) ?? [];
    const grant = named ?? (ops.length === 1 ? ops[0] : undefined);
    return errorOf('NOT_GRANTED', 'The app holds no grant for what it asks for.', given({ status, grant }));
  }
  if (message.includes('request time expired'))
    return errorOf('UNAUTHENTICATED', 'The clock is off by more than system-server allows.', details);
  if (field(body, 'code') === 100001 || /invalid auth token|app not found/.test(message))
    return errorOf(
      'UNAUTHENTICATED',
      "The app's key or secret was refused, or the clock is more than 10 s off.",
      details,
    );
  if (status === 429) return errorOf('TOO_MANY_REQUESTS', 'Too many requests for access tokens.', details);
  if (status >= 500)
    return errorOf('UNREACHABLE', `No access token: the service answered ${status}.`, details);
  return errorOf('NOT_UNDERSTOOD', `No access token: the answer (${status}) is not the service's.`, details);
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
