import { type Rotating, unchanging } from '../../rotation/rotating';
import type { Dialect } from './dialect';
import type { InfisicalClient } from './infisical-client';
import { kubernetesAuth, type KubernetesAuthCredentials } from './kubernetes-auth';
import type { Login } from './machine-session';
import { universalAuth, type UniversalAuthCredentials } from './universal-auth';

/** Somebody may replace these while we run; they go before others that are given with them. */
export interface RotatingCredentials {
  readonly universalAuth: Rotating<UniversalAuthCredentials>;
}

/** Exactly one of the three. The token of Kubernetes Auth is read at each login anyway. */
export type Credentials = UniversalAuthCredentials | KubernetesAuthCredentials | RotatingCredentials;

export function loginMethod(
  client: InfisicalClient,
  dialect: () => Promise<Dialect>,
  credentials: Credentials,
  requestTimeoutMs: number,
): Login {
  if ('identityId' in credentials) {
    const logIn = kubernetesAuth(client, dialect, credentials, requestTimeoutMs);
    return { logIn, credentials: unchanging(credentials) };
  }
  const rotating = 'universalAuth' in credentials ? credentials.universalAuth : unchanging(credentials);
  return { logIn: universalAuth(client, dialect, rotating, requestTimeoutMs), credentials: rotating };
}
