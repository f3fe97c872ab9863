import { createHmac, hash, randomUUID, timingSafeEqual } from 'node:crypto';
import type { JWTPayload, JWTVerifyOptions } from 'jose';
import { SignJWT } from 'jose/jwt/sign';
import { jwtVerify } from 'jose/jwt/verify';
import { LRUCache } from 'lru-cache';
import { Unauthenticated } from '../errors/request-errors';
import type { Reloadable } from '../reloadable/reloadable';
import type { Clock } from '../time/clock';

const DIGEST_OF = { HS256: 'sha256', HS512: 'sha512' } as const;

/** The checks of a token, and the header that carries it; the time of verification is passed apart. */
interface TokenRules extends Omit<JWTVerifyOptions, 'currentDate' | 'algorithms'> {
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
/** A shorter token counts as this long, which bounds their number: a bound of its own (`max`) would have the cache take the memory of 10,000 at the start. */
const MIN_COUNTED_LENGTH = Math.ceil(MAX_REMEMBERED_LENGTH / MAX_REMEMBERED_TOKENS);

/**
 * Verifies tokens, and remembers those that verified within the last minute by the hash of the whole token, signature
 * included: an app sends the same two with each request, and an HMAC through WebCrypto is the most expensive part of a read.
 * A refusal is not remembered.
 */
export class VerifiedTokens<T extends object> {
  readonly #verified = new LRUCache<string, Verified<T>>({ maxSize: MAX_REMEMBERED_LENGTH });

  constructor(
    private readonly rules: TokenRules,
    protected readonly key: Reloadable<Uint8Array>,
    /** For how long a key that was replaced goes on verifying. */
    private readonly graceMs: number,
    protected readonly clock: Clock,
    /** Reads the claims; returns undefined where they are not as they must be. Its result is shared by all uses of the token. */
    private readonly read: (claims: JWTPayload) => T | undefined,
    /** Asked each time that a token verifies; undefined where nobody but us knows of the tokens. */
    private readonly isAccepted?: (token: string, value: T) => Promise<boolean>,
  ) {}

  /**
   * A remembered token counts from when it was verified (so not before its `nbf`, even on a clock that was put back) to its
   * `exp`, and only while its key does.
   * @throws Unauthenticated (401) with one text, whatever is wrong with the token; what `isAccepted` throws
   */
  async verify(token: string | undefined): Promise<T> {
    if (token === undefined) throw new Unauthenticated(this.rules.header);
    const nowMs = this.clock.nowMs();
    const { versions } = this.key;
    const keys = versions
      .filter((_, index) => (versions[index - 1]?.ageMs() ?? -Infinity) < this.graceMs)
      .map(({ value }) => value);
    const digest = hash('sha256', token, 'base64');
    let verified = this.#verified.get(digest);
    const isKnown =
      verified !== undefined &&
      nowMs >= verified.verifiedAtMs &&
      nowMs < verified.untilMs &&
      keys.includes(verified.key);
    if (verified === undefined || !isKnown) verified = await this.#verifyAnew(token, digest, keys, nowMs);
    const { value } = verified;
    if (this.isAccepted !== undefined && !(await this.isAccepted(token, value)))
      throw new Unauthenticated(this.rules.header);
    return value;
  }

  async #verifyAnew(
    token: string,
    digest: string,
    keys: readonly Uint8Array[],
    nowMs: number,
  ): Promise<Verified<T>> {
    const { header, algorithm, ...rules } = this.rules;
    const key = keys.find((one) => isSignedWith(one, token, algorithm));
    const options = { ...rules, algorithms: [algorithm], currentDate: new Date(nowMs) };
    // jose's error carries the claims, so nothing of it may be passed on.
    const jwt = key && (await jwtVerify(token, key, options).catch(() => undefined));
    const value = jwt && this.read(jwt.payload);
    if (key === undefined || jwt === undefined || value === undefined) {
      this.#verified.delete(digest);
      throw new Unauthenticated(header);
    }
    const untilMs = Math.min((jwt.payload.exp ?? -Infinity) * 1000, nowMs + MAX_REMEMBERED_MS);
    const verified = { value, key, verifiedAtMs: nowMs, untilMs };
    this.#verified.set(digest, verified, { size: Math.max(token.length, MIN_COUNTED_LENGTH) });
    return verified;
  }
}

/**
 * Returns true where the signature is the key's, as text: decoded, it would be the same in endlessly many spellings (white space, padding, bits that
 * mean nothing), each a token that nobody has seen. jose, which verifies it again, takes ten times as long: too much for a flood of forged tokens.
 */
function isSignedWith(key: Uint8Array, token: string, algorithm: TokenRules['algorithm']): boolean {
  const end = token.lastIndexOf('.');
  const signature = Buffer.from(
    createHmac(DIGEST_OF[algorithm], key).update(token.slice(0, end)).digest('base64url'),
  );
  const sent = Buffer.from(token.slice(end + 1));
  return sent.length === signature.length && timingSafeEqual(sent, signature);
}

/** Contract, section 4: an access token lives five minutes. */
const ACCESS_TOKEN_LIFETIME_MS = 5 * 60_000;
/** A kubelet takes up to a minute and a half to write a changed Secret; replicas on other nodes may be that much apart. */
const REPLICAS_AGREE_WITHIN_MS = 2 * 60_000;

/** An old key verifies until the last token has expired that a replica signed with it. */
const KEY_GRACE_MS = 2 * REPLICAS_AGREE_WITHIN_MS + ACCESS_TOKEN_LIFETIME_MS;

const ISSUER = 'olares-secret-provider';
const AUDIENCE = 'secret.infisical/v1';
const ACCESS_TOKEN_RULES: TokenRules = {
  header: 'X-Access-Token',
  algorithm: 'HS256',
  issuer: ISSUER,
  audience: AUDIENCE,
  requiredClaims: ['exp', 'sub', 'user', 'ops'],
};

/** What an access token says: an app of a user, and the operations that it was issued for, `<Op>?workspace=<name>` each. */
interface AccessClaims {
  readonly app: string;
  readonly user: string;
  readonly operations: ReadonlySet<string>;
}

export interface IssuedAccessToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/** Signs and verifies the access tokens of apps: stateless JWTs (HS256), which survive a restart and which every replica accepts. */
export class AccessTokens extends VerifiedTokens<AccessClaims> {
  constructor(key: Reloadable<Uint8Array>, clock: Clock) {
    super(ACCESS_TOKEN_RULES, key, KEY_GRACE_MS, clock, callerFrom);
  }

  /** @param operations `<Op>?workspace=<name>` each; the token is good for exactly these */
  async issue(app: string, user: string, operations: readonly string[]): Promise<IssuedAccessToken> {
    const iat = Math.floor(this.clock.nowMs() / 1000);
    const exp = iat + ACCESS_TOKEN_LIFETIME_MS / 1000;
    const named = { sub: app, user, ops: operations };
    const token = await new SignJWT({ iss: ISSUER, aud: AUDIENCE, ...named, jti: randomUUID(), iat, exp })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(this.signingKey());
    return { token, expiresAtMs: exp * 1000 };
  }

  /** A new key verifies at once, and signs once every replica has it. */
  private signingKey(): Uint8Array {
    const { versions } = this.key;
    const known = versions.find(({ ageMs }) => ageMs() >= REPLICAS_AGREE_WITHIN_MS) ?? versions.at(-1);
    return known?.value ?? this.key.current();
  }
}

function callerFrom({ sub, user, ops }: Readonly<Record<string, unknown>>): AccessClaims | undefined {
  if (typeof sub !== 'string' || typeof user !== 'string' || !isTexts(ops)) return undefined;
  return { app: sub, user, operations: new Set(ops) };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A token whose signature and expiry were verified. */
export interface VerifiedToken {
  readonly token: string;
  readonly user: string;
  readonly expiresAtMs: number;
}

/** Knows which tokens were logged out: such a token verifies until it expires, and only its issuer knows. */
export abstract class UserDirectory {
  /** @throws IdentityUnavailable (503) when the directory does not answer, TooManyRequests (429) */
  abstract accepts(token: VerifiedToken): Promise<boolean>;
}

/** The user of a verified token. */
export interface VerifiedUser {
  readonly user: string;
  /** The user's groups in LLDAP. */
  readonly groups: readonly string[];
}

/** The longest name that Kubernetes allows; no user has a longer one. */
const MAX_USER_LENGTH = 253;

const USER_TOKEN_RULES: TokenRules = {
  header: 'X-Authorization',
  algorithm: 'HS512',
  requiredClaims: ['exp'],
};

/** LLDAP reads its key at its start: the old key counts until LLDAP was restarted and its users' pages have fresh tokens. */
export const USER_TOKEN_GRACE_MS = 5 * 60_000;

/** Verifies X-Authorization: a JWT of LLDAP, HS512 and no other, whose header has no `typ`; `exp` is required, and the user is `username`. */
export class UserTokenVerifier extends VerifiedTokens<UserClaims> {
  /** @param directory asked for every token that verifies, where configured: only it knows who logged out; it may throw IdentityUnavailable (503) or TooManyRequests (429) */
  constructor(secret: Reloadable<Uint8Array>, clock: Clock, directory?: UserDirectory) {
    const isAccepted =
      directory &&
      ((token: string, { user, expiresAtMs }: UserClaims) => directory.accepts({ token, user, expiresAtMs }));
    super(USER_TOKEN_RULES, secret, USER_TOKEN_GRACE_MS, clock, userFrom, isAccepted);
  }
}

interface UserClaims extends VerifiedUser, Pick<VerifiedToken, 'expiresAtMs'> {}

function userFrom({ username, groups, exp }: Readonly<Record<string, unknown>>): UserClaims | undefined {
  if (typeof username !== 'string' || username === '' || username.length > MAX_USER_LENGTH) return undefined;
  return {
    user: username,
    groups: Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [],
    expiresAtMs: (typeof exp === 'number' ? exp : 0) * 1000,
  };
}
