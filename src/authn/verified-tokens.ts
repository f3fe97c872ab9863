import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import type { JWTPayload, JWTVerifyOptions } from 'jose';
import { jwtVerify } from 'jose/jwt/verify';
import { LRUCache } from 'lru-cache';
import { Unauthenticated } from '../errors/authn-errors';
import type { Reloadable } from '../reloadable/reloadable';
import type { Clock } from '../time/clock';

const DIGEST_OF = { HS256: 'sha256', HS512: 'sha512' } as const;

/** The checks of a token, and the header that carries it; the time of verification is passed apart. */
export interface TokenRules extends Omit<JWTVerifyOptions, 'currentDate' | 'algorithms'> {
  readonly header: 'X-Authorization' | 'X-Access-Token';
  readonly algorithm: keyof typeof DIGEST_OF;
}

interface Verified<T> {
  readonly value: T;
  readonly key: Uint8Array;
  readonly verifiedAtMs: number;
  readonly untilMs: number;
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
    protected readonly key: Reloadable<Uint8Array>,
    /** For how long a key that was replaced goes on verifying. */
    private readonly graceMs: number,
    protected readonly clock: Clock,
    /** Reads the claims; returns undefined where they are not as they must be. Its result is shared by all uses of the token. */
    private readonly read: (claims: JWTPayload) => T | undefined,
  ) {}

  /**
   * A remembered token counts from when it was verified (so not before its `nbf`, even on a clock that was put back) to its
   * `exp`, and only while its key does.
   * @throws Unauthenticated (401) with one text, whatever is wrong with the token
   */
  async verify(token: string): Promise<T> {
    const nowMs = this.clock.nowMs();
    const { versions } = this.key;
    const keys = versions
      .filter((_, index) => nowMs < (versions[index - 1]?.sinceMs ?? Infinity) + this.graceMs)
      .map(({ value }) => value);
    const digest = hash('sha256', token, 'base64');
    const known = this.#verified.get(digest);
    if (known && nowMs >= known.verifiedAtMs && nowMs < known.untilMs && keys.includes(known.key))
      return known.value;
    const { header, algorithm, ...rules } = this.rules;
    const key = keys.find((one) => isSignedWith(one, token, algorithm));
    const options = { ...rules, algorithms: [algorithm], currentDate: new Date(nowMs) };
    const claims = key && (await verifiedClaims(token, key, options));
    const value = claims && this.read(claims);
    if (key === undefined || claims === undefined || value === undefined) {
      this.#verified.delete(digest);
      throw new Unauthenticated(header);
    }
    const untilMs = Math.min((claims.exp ?? -Infinity) * 1000, nowMs + MAX_REMEMBERED_MS);
    this.#verified.set(digest, { value, key, verifiedAtMs: nowMs, untilMs }, { size: token.length });
    return value;
  }
}

/**
 * Returns true where the signature is the key's. jose verifies it again, through WebCrypto on another thread, which takes ten times as
 * long: a flood of forged tokens must not cost that.
 */
function isSignedWith(key: Uint8Array, token: string, algorithm: TokenRules['algorithm']): boolean {
  const end = token.lastIndexOf('.');
  const signature = createHmac(DIGEST_OF[algorithm], key).update(token.slice(0, end)).digest();
  const sent = Buffer.from(token.slice(end + 1), 'base64url');
  return sent.length === signature.length && timingSafeEqual(sent, signature);
}

/** Returns the claims of a token; undefined whatever is wrong with it. */
async function verifiedClaims(
  token: string,
  key: Uint8Array,
  options: JWTVerifyOptions,
): Promise<JWTPayload | undefined> {
  try {
    return (await jwtVerify(token, key, options)).payload;
  } catch {
    // jose's error carries the claims, so nothing of it may be passed on.
    return undefined;
  }
}
