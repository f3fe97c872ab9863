import type { Rotating } from '../../rotation/rotating';
import { parseLogin } from './answers';
import type { Dialect } from './dialect';
import { exchange, failureOf } from './exchange';
import type { InfisicalClient } from './infisical-client';
import type { LoginMethod } from './machine-session';

export interface UniversalAuthCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Logs in with a client id and a client secret. One attempt: what called for a token decides on another. */
export function universalAuth(
  client: InfisicalClient,
  dialect: () => Promise<Dialect>,
  credentials: Rotating<UniversalAuthCredentials>,
  requestTimeoutMs: number,
): LoginMethod {
  return async () => {
    const { clientId, clientSecret } = credentials.current();
    const spoken = await dialect();
    const { body } = await exchange(client, spoken, 'login', {
      body: { clientId, clientSecret },
      timeoutMs: requestTimeoutMs,
    });
    const lease = parseLogin(body);
    if (lease === undefined) throw failureOf(spoken, 'login', 'unexpectedAnswer');
    return lease;
  };
}
