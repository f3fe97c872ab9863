import type { Dialect } from './dialect';
import type { InfisicalClient } from './infisical-client';
import { kubernetesAuth, type KubernetesAuthCredentials } from './kubernetes-auth';
import type { LoginMethod } from './machine-session';
import { universalAuth, type UniversalAuthCredentials } from './universal-auth';

/** Exactly one of the two. */
export type Credentials = UniversalAuthCredentials | KubernetesAuthCredentials;

export function loginMethod(
  client: InfisicalClient,
  dialect: () => Promise<Dialect>,
  credentials: Credentials,
  requestTimeoutMs: number,
): LoginMethod {
  return 'identityId' in credentials
    ? kubernetesAuth(client, dialect, credentials, requestTimeoutMs)
    : universalAuth(client, dialect, credentials, requestTimeoutMs);
}
