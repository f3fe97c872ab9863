import { jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose';
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../time/clock';

/** What a token must be; when it is looked at is said apart. */
export type TokenRules = Omit<JWTVerifyOptions, 'currentDate'>;

interface VerifiedClaims {
  readonly claims: JWTPayload;
  /** The one of the keys that it verifies with. */
  readonly key: Uint8Array;
}

/** The claims of a token that verifies with one of the keys; undefined whatever is wrong with it. */
async function verifiedClaims(
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

interface Verified<T> {
  readonly value: T;
  readonly key: Uint8Array;
  readonly verifiedAtMs: number;
  readonly expiresAtMs: number;
}

const MAX_REMEMBERED_MS = 60_000;
const MAX_REMEMBERED_TOKENS = 10_000;
/** Of all tokens together; what is read from one is about as long as itself. */
const MAX_REMEMBERED_LENGTH = 16 * 2 ** 20;

/**
 * Tokens that verified within the last minute, by the hash of the whole token, signature included: an app sends the same
 * two with each request, and an HMAC through WebCrypto is the dearest part of a read. A refusal is not remembered.
 */
export class VerifiedTokens<T extends object> {
  readonly #verified = new LRUCache<string, Verified<T>>({
    max: MAX_REMEMBERED_TOKENS,
    maxSize: MAX_REMEMBERED_LENGTH,
  });

  constructor(
    private readonly rules: TokenRules,
    /** What the claims say; undefined where that is not what it must be. The same answer is given for each use. */
    private readonly read: (claims: VerifiedClaims['claims']) => T | undefined,
    private readonly clock: Clock,
  ) {}

  /** @param keys that count now; undefined whatever is wrong with the token */
  async verify(token: string, keys: readonly Uint8Array[]): Promise<T | undefined> {
    const nowMs = this.clock.nowMs();
    const name = hash('sha256', token, 'base64');
    const known = this.#verified.get(name);
    if (known !== undefined && stillVerifies(known, keys, nowMs)) return known.value;
    const verified = await verifiedClaims(token, keys, { ...this.rules, currentDate: new Date(nowMs) });
    const value = verified && this.read(verified.claims);
    if (value === undefined || verified === undefined) {
      this.#verified.delete(name);
      return undefined;
    }
    const { key, claims } = verified;
    const expiresAtMs = (claims.exp ?? -Infinity) * 1000;
    this.#verified.set(name, { value, key, verifiedAtMs: nowMs, expiresAtMs }, { size: token.length });
    return value;
  }
}

/**
 * From when it was verified, so not before its `nbf` even on a clock that was put back, to its `exp`, and no longer than
 * a minute. A key that counts no more takes its tokens with it.
 */
function stillVerifies(
  { key, verifiedAtMs, expiresAtMs }: Verified<object>,
  keys: readonly Uint8Array[],
  nowMs: number,
): boolean {
  const untilMs = Math.min(expiresAtMs, verifiedAtMs + MAX_REMEMBERED_MS);
  return nowMs >= verifiedAtMs && nowMs < untilMs && keys.includes(key);
}
