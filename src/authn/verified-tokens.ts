import { hash } from 'node:crypto';
import type { JWTPayload, JWTVerifyOptions } from 'jose';
import { jwtVerify } from 'jose/jwt/verify';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../time/clock';

/** The checks of a token; the time of verification is passed apart. */
export type TokenRules = Omit<JWTVerifyOptions, 'currentDate'>;

interface Verified<T> {
  readonly value: T;
  readonly key: Uint8Array;
  readonly verifiedAtMs: number;
  readonly expiresAtMs: number;
}

const MAX_REMEMBERED_MS = 60_000;
const MAX_REMEMBERED_TOKENS = 10_000;
/** The length of all remembered tokens together; what is read from one is about as long as itself. */
const MAX_REMEMBERED_LENGTH = 16 * 2 ** 20;

/**
 * Verifies tokens, and remembers those that verified within the last minute by the hash of the whole token, signature
 * included: an app sends the same two with each request, and an HMAC through WebCrypto is the most expensive part of a read.
 * A refusal is not remembered.
 */
export class VerifiedTokens<T extends object> {
  readonly #verified = new LRUCache<string, Verified<T>>({
    max: MAX_REMEMBERED_TOKENS,
    maxSize: MAX_REMEMBERED_LENGTH,
  });

  constructor(
    private readonly rules: TokenRules,
    /** Reads the claims; returns undefined where they are not as they must be. Its result is shared by all uses of the token. */
    private readonly read: (claims: JWTPayload) => T | undefined,
    private readonly clock: Clock,
  ) {}

  /** Returns undefined whatever is wrong with the token. @param keys the keys that count now */
  async verify(token: string, keys: readonly Uint8Array[]): Promise<T | undefined> {
    const nowMs = this.clock.nowMs();
    const digest = hash('sha256', token, 'base64');
    const known = this.#verified.get(digest);
    if (known !== undefined && stillVerifies(known, keys, nowMs)) return known.value;
    const verified = await verifiedClaims(token, keys, { ...this.rules, currentDate: new Date(nowMs) });
    const value = verified && this.read(verified.claims);
    if (value === undefined || verified === undefined) {
      this.#verified.delete(digest);
      return undefined;
    }
    const { key, claims } = verified;
    const expiresAtMs = (claims.exp ?? -Infinity) * 1000;
    this.#verified.set(digest, { value, key, verifiedAtMs: nowMs, expiresAtMs }, { size: token.length });
    return value;
  }
}

/**
 * A token verifies from when it was verified (so not before its `nbf`, even on a clock that was put back) to its `exp`, at
 * most for a minute, and only while its key counts.
 */
function stillVerifies(
  { key, verifiedAtMs, expiresAtMs }: Verified<object>,
  keys: readonly Uint8Array[],
  nowMs: number,
): boolean {
  const untilMs = Math.min(expiresAtMs, verifiedAtMs + MAX_REMEMBERED_MS);
  return nowMs >= verifiedAtMs && nowMs < untilMs && keys.includes(key);
}

/** Returns the claims and the key that the token verifies with; undefined whatever is wrong with it. */
async function verifiedClaims(
  token: string,
  keys: readonly Uint8Array[],
  options: JWTVerifyOptions,
): Promise<{ readonly claims: JWTPayload; readonly key: Uint8Array } | undefined> {
  for (const key of keys) {
    try {
      return { claims: (await jwtVerify(token, key, options)).payload, key };
    } catch {
      // jose's error carries the claims, so nothing of it may be passed on.
    }
  }
  return undefined;
}
