import { jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';

/** The claims of a token that verifies with one of the keys; undefined whatever is wrong with it. */
export async function verifiedClaims(
  token: string,
  keys: readonly Uint8Array[],
  options: JWTVerifyOptions,
): Promise<JWTPayload | undefined> {
  for (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch {
      // jose's error carries the claims; nothing of it may leave this place.
    }
  }
  return undefined;
}
