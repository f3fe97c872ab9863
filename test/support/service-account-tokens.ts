import type { FakeApiServer } from './fake-api-server/fake-api-server';

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export interface TokenToMake {
  readonly namespace: string;
  readonly name?: string;
  readonly audience?: string | undefined;
  readonly expiresAtMs: number;
}

export const AUDIENCE = 'olares-secret-provider';

/** Returns a token as in a pod's projected volume, which the API server knows. */
export function podToken(
  server: FakeApiServer,
  { namespace, name = 'default', audience = AUDIENCE, expiresAtMs }: TokenToMake,
): string {
  const username = `system:serviceaccount:${namespace}:${name}`;
  const claims = { aud: [audience], exp: expiresAtMs / 1000, sub: username };
  const token = `${part({ alg: 'RS256' })}.${part(claims)}.canary-${server.tokens.size}`;
  server.tokens.set(token, { username, audiences: [audience] });
  return token;
}
