import { randomUUID } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../clock/clock';
import { Unauthenticated } from '../errors/identity-errors';
import type { Caller } from './caller';

/** Contract, section 4: an access token lives five minutes. */
export const ACCESS_TOKEN_LIFETIME_MS = 5 * 60_000;

const ISSUER = 'olares-secret-provider';
const AUDIENCE = 'secret.infisical/v1';

export interface IssuedAccessToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/**
 * Signs and verifies the access tokens of apps: stateless JWTs (HS256) that name app, user and operations, so that they
 * survive a restart and are known to every replica.
 */
export class AccessTokens {
  constructor(
    private readonly key: Uint8Array,
    private readonly clock: Clock,
  ) {}

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
      .sign(this.key);
    return { token, expiresAtMs: expiresAtS * 1000 };
  }

  /** @throws Unauthenticated (401) with one text, whatever is wrong with the token */
  async verify(token: string): Promise<Caller> {
    try {
      const { payload } = await jwtVerify(token, this.key, {
        algorithms: ['HS256'],
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ['exp', 'sub', 'user', 'ops'],
        currentDate: new Date(this.clock.nowMs()),
      });
      const { sub, user, ops } = payload as { sub?: unknown; user?: unknown; ops?: unknown };
      if (typeof sub === 'string' && typeof user === 'string' && isTexts(ops)) {
        return { app: sub, user, operations: new Set(ops) };
      }
    } catch {
      // jose's error carries the claims; nothing of it may leave this place.
    }
    throw new Unauthenticated('X-Access-Token');
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
