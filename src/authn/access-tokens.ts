import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose/jwt/sign';
import type { Reloadable } from '../reloadable/reloadable';
import type { Clock } from '../time/clock';
import type { Caller } from './caller';
import { type TokenRules, VerifiedTokens } from './verified-tokens';

/** Contract, section 4: an access token lives five minutes. */
const ACCESS_TOKEN_LIFETIME_MS = 5 * 60_000;
/** A kubelet takes up to a minute and a half to write a changed Secret; replicas on other nodes may be that much apart. */
const REPLICAS_AGREE_WITHIN_MS = 2 * 60_000;

/** An old key verifies until the last token has expired that a replica signed with it. */
const KEY_GRACE_MS = 2 * REPLICAS_AGREE_WITHIN_MS + ACCESS_TOKEN_LIFETIME_MS;

const ISSUER = 'olares-secret-provider';
const AUDIENCE = 'secret.infisical/v1';
const RULES: TokenRules = {
  header: 'X-Access-Token',
  algorithm: 'HS256',
  issuer: ISSUER,
  audience: AUDIENCE,
  requiredClaims: ['exp', 'sub', 'user', 'ops'],
};

export interface IssuedAccessToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/**
 * Signs and verifies the access tokens of apps. They are stateless JWTs (HS256) that name app, user and operations, so
 * they survive a restart and every replica accepts them.
 */
export class AccessTokens extends VerifiedTokens<Caller> {
  constructor(key: Reloadable<Uint8Array>, clock: Clock) {
    super(RULES, key, KEY_GRACE_MS, clock, callerFrom);
  }

  /** @param operations `<Op>?workspace=<name>` each; the token is good for exactly these */
  async issue(app: string, user: string, operations: readonly string[]): Promise<IssuedAccessToken> {
    const issuedAtS = Math.floor(this.clock.nowMs() / 1000);
    const expiresAtS = issuedAtS + ACCESS_TOKEN_LIFETIME_MS / 1000;
    const token = await new SignJWT({ user, ops: operations })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(app)
      .setJti(randomUUID())
      .setIssuedAt(issuedAtS)
      .setExpirationTime(expiresAtS)
      .sign(this.signingKey());
    return { token, expiresAtMs: expiresAtS * 1000 };
  }

  /** A new key verifies at once, and signs once every replica has it. */
  private signingKey(): Uint8Array {
    const { versions } = this.key;
    const knownSinceMs = this.clock.nowMs() - REPLICAS_AGREE_WITHIN_MS;
    const known = versions.find(({ sinceMs }) => sinceMs <= knownSinceMs) ?? versions.at(-1);
    return known?.value ?? this.key.current();
  }
}

function callerFrom({ sub, user, ops }: Readonly<Record<string, unknown>>): Caller | undefined {
  if (typeof sub !== 'string' || typeof user !== 'string' || !isTexts(ops)) return undefined;
  return { app: sub, user, operations: new Set(ops) };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
