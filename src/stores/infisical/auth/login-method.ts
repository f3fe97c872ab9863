import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { parseLogin } from '../api/answers';
import type { ApiVersion } from '../versions/api-version';
import type { Route } from '../versions/calls';
import { executeRequest, callFailureOf } from '../api/execute-request';
import type { FailureRule } from '../versions/failure-reason';
import type { InfisicalClient } from '../transport/infisical-client';
import type { LoginMethod, Login } from './machine-session';
import { type Reloadable, fixed } from '../../../reloadable/reloadable';

interface KubernetesAuthCredentials {
  readonly identityId: string;
  /** The pod's own ServiceAccount token: Kubernetes writes a new one there long before the old one ends. */
  readonly tokenFile: string;
}

/** The same on every generation. */
export const KUBERNETES_LOGIN: Route = { method: 'POST', path: '/api/v1/auth/kubernetes-auth/login' };

/** Larger than any token. */
const MAX_TOKEN_BYTES = 64 * 1024;

/**
 * Seen on a server of 2025: an identity without this method. From the published source alone: what Infisical says when
 * Kubernetes refuses the token, or when the namespace, name or audience is not allowed.
 */
const REFUSALS: readonly FailureRule[] = [
  { status: 404, message: /^Kubernetes auth method not found/i, reason: 'credentialsRefused' },
  { status: 400, message: /^Kubernetes auth method not found/i, reason: 'credentialsRefused' },
  { status: 401, error: /^(UnauthorizedError|KubernetesTokenReview)/, reason: 'credentialsRefused' },
  { status: 403, error: /^(UnauthorizedError|KubernetesTokenReview)/, reason: 'credentialsRefused' },
];

/** Logs in with the pod's ServiceAccount token, read fresh each time. One attempt, as with a client secret. */
function kubernetesAuth(
  client: InfisicalClient,
  apiVersion: () => Promise<ApiVersion>,
  { identityId, tokenFile }: KubernetesAuthCredentials,
  requestTimeoutMs: number,
): LoginMethod {
  return async () => {
    const activeVersion = speaking(await apiVersion());
    const jwt = await readToken(tokenFile);
    if (jwt === undefined) throw callFailureOf(activeVersion, 'login', 'serviceAccountTokenUnreadable');
    const { body } = await executeRequest(client, activeVersion, 'login', {
      body: { identityId, jwt },
      timeoutMs: requestTimeoutMs,
    });
    const lease = parseLogin(body);
    if (lease === undefined) throw callFailureOf(activeVersion, 'login', 'unexpectedAnswer');
    return lease;
  };
}

/** The server's dialect, with this way to log in. */
function speaking(apiVersion: ApiVersion): ApiVersion {
  return {
    ...apiVersion,
    routes: { ...apiVersion.routes, login: KUBERNETES_LOGIN },
    failures: [...REFUSALS, ...apiVersion.failures],
  };
}

/**
 * Undefined where there is nothing to send; the foreign error, which names the path, ends here. Whatever a wrong path
 * leads to, this neither fills memory nor waits for a pipe's writer.
 */
async function readToken(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const parts: Buffer[] = [];
    // The stream closes the file.
    for await (const part of file.createReadStream({ end: MAX_TOKEN_BYTES })) parts.push(part as Buffer);
    const bytes = Buffer.concat(parts);
    const token = bytes.toString('utf8').trim();
    return token === '' || bytes.length > MAX_TOKEN_BYTES ? undefined : token;
  } catch {
    return undefined;
  }
}

export interface UniversalAuthCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Logs in with a client id and a client secret. One attempt: what called for a token decides on another. */
function universalAuth(
  client: InfisicalClient,
  apiVersion: () => Promise<ApiVersion>,
  credentials: Reloadable<UniversalAuthCredentials>,
  requestTimeoutMs: number,
): LoginMethod {
  return async () => {
    const { clientId, clientSecret } = credentials.current();
    const activeVersion = await apiVersion();
    const { body } = await executeRequest(client, activeVersion, 'login', {
      body: { clientId, clientSecret },
      timeoutMs: requestTimeoutMs,
    });
    const lease = parseLogin(body);
    if (lease === undefined) throw callFailureOf(activeVersion, 'login', 'unexpectedAnswer');
    return lease;
  };
}

/** Somebody may replace these while we run; they go before others that are given with them. */
export interface ReloadableCredentials {
  readonly universalAuth: Reloadable<UniversalAuthCredentials>;
}

/** Exactly one of the three. The token of Kubernetes Auth is read at each login anyway. */
export type LoginCredentials = UniversalAuthCredentials | KubernetesAuthCredentials | ReloadableCredentials;

export function loginMethod(
  client: InfisicalClient,
  apiVersion: () => Promise<ApiVersion>,
  credentials: LoginCredentials,
  requestTimeoutMs: number,
): Login {
  if ('identityId' in credentials) {
    const logIn = kubernetesAuth(client, apiVersion, credentials, requestTimeoutMs);
    return { logIn, credentials: fixed(credentials) };
  }
  const reloadable = 'universalAuth' in credentials ? credentials.universalAuth : fixed(credentials);
  return { logIn: universalAuth(client, apiVersion, reloadable, requestTimeoutMs), credentials: reloadable };
}
