/** What a ServiceAccount token says of itself: enough to refuse it, never to accept it. */
export interface TokenClaims {
  readonly audiences: readonly string[];
  readonly expiresAtMs: number;
}

const MAX_TOKEN_LENGTH = 8192;
const JWT = /^[\w-]+\.([\w-]+)\.[\w-]+$/;

/** Undefined for anything that is no JWT with an audience and an end: no pod's own token lacks them. */
export function claimsOf(token: string): TokenClaims | undefined {
  const payload = token.length > MAX_TOKEN_LENGTH ? undefined : JWT.exec(token)?.[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null) return undefined;
    const { aud, exp } = claims as { readonly aud?: unknown; readonly exp?: unknown };
    const audiences = (Array.isArray(aud) ? (aud as readonly unknown[]) : [aud]).filter(
      (audience) => typeof audience === 'string',
    );
    if (audiences.length === 0 || typeof exp !== 'number') return undefined;
    return { audiences, expiresAtMs: exp * 1000 };
  } catch {
    return undefined;
  }
}
