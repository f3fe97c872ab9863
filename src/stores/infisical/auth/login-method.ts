import { fixed, readSmallFile, type Reloadable } from '../../../reloadable/reloadable';
import { parseLogin } from '../api/answers';
import { callFailureOf, executeRequest } from '../api/execute-request';
import type { InfisicalClient } from '../transport/infisical-client';
import type { ApiVersion } from '../versions/api-version';
import type { Route, FailureRule } from '../versions/calls';
import type { Lease, Login } from './machine-session';

export interface UniversalAuthCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

interface KubernetesAuthCredentials {
  readonly identityId: string;
  /** The file of the pod's ServiceAccount token: Kubernetes writes a new token there long before the old one expires. */
  readonly tokenFile: string;
}

/** Credentials that may be replaced while we run; they take precedence over others that are given. */
export interface ReloadableCredentials {
  readonly universalAuth: Reloadable<UniversalAuthCredentials>;
}

/** Exactly one of the three. The token of Kubernetes Auth is read at each login anyway. */
export type LoginCredentials = UniversalAuthCredentials | KubernetesAuthCredentials | ReloadableCredentials;

/** Logs in by Universal Auth or Kubernetes Auth. Each login is one attempt: the call that needs the token decides on another. */
export function loginMethod(
  client: InfisicalClient,
  apiVersion: () => Promise<ApiVersion>,
  credentials: LoginCredentials,
  requestTimeoutMs: number,
): Login {
  const send = async (version: ApiVersion, body: Readonly<Record<string, string>>): Promise<Lease> => {
    const answer = await executeRequest(client, version, 'login', { body }, { timeoutMs: requestTimeoutMs });
    const lease = parseLogin(answer.body);
    if (lease === undefined) throw callFailureOf(version, 'login', 'unexpectedAnswer');
    return lease;
  };
  if ('identityId' in credentials) {
    const { identityId, tokenFile } = credentials;
    const logIn = async (): Promise<Lease> => {
      const version = withKubernetesLogin(await apiVersion());
      const file = await readSmallFile(tokenFile, MAX_TOKEN_BYTES);
      const jwt = file.kind === 'text' ? file.text.trim() : '';
      if (jwt === '') throw callFailureOf(version, 'login', 'serviceAccountTokenUnreadable');
      return send(version, { identityId, jwt });
    };
    return { logIn, credentials: fixed(credentials) };
  }
  const reloadable = 'universalAuth' in credentials ? credentials.universalAuth : fixed(credentials);
  const logIn = async (): Promise<Lease> => {
    const { clientId, clientSecret } = reloadable.current();
    return send(await apiVersion(), { clientId, clientSecret });
  };
  return { logIn, credentials: reloadable };
}

/** The same in every API version. */
export const KUBERNETES_LOGIN: Route = { method: 'POST', path: '/api/v1/auth/kubernetes-auth/login' };

/** Larger than any token. */
const MAX_TOKEN_BYTES = 64 * 1024;

/**
 * The 404 was recorded from a server of 2025, for an identity without this method. The others are taken from the published source: the
 * answers when Kubernetes refuses the token, or when the namespace, name or audience is not allowed.
 */
const REFUSALS: readonly FailureRule[] = [
  { status: 404, message: /^Kubernetes auth method not found/i, reason: 'credentialsRefused' },
  { status: 400, message: /^Kubernetes auth method not found/i, reason: 'credentialsRefused' },
  { status: 401, error: /^(UnauthorizedError|KubernetesTokenReview)/, reason: 'credentialsRefused' },
  { status: 403, error: /^(UnauthorizedError|KubernetesTokenReview)/, reason: 'credentialsRefused' },
];

/** Returns the API version with the login route of Kubernetes Auth. */
function withKubernetesLogin(apiVersion: ApiVersion): ApiVersion {
  return {
    ...apiVersion,
    routes: { ...apiVersion.routes, login: KUBERNETES_LOGIN },
    failures: [...REFUSALS, ...apiVersion.failures],
  };
}
