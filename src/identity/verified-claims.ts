import { jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';

/** What a token must be; when it is looked at is said apart. */
export type TokenRules = Omit<JWTVerifyOptions, 'currentDate'>;

export interface VerifiedClaims {
  readonly claims: JWTPayload;
  /** The one of the keys that it verifies with. */
  readonly key: Uint8Array;
}

/** The claims of a token that verifies with one of the keys; undefined whatever is wrong with it. */
export async function verifiedClaims(
  token: string,
  keys: readonly Uint8Array[],
  options: JWTVerifyOptions,
): Promise<VerifiedClaims | undefined> {
  for (const key of keys) {
    try {
      return { claims: (await jwtVerify(token, key, options)).payload, key };
    } catch {
      // jose's error carries the claims; nothing of it may leave this place.
    }
  }
  return undefined;
}
