import { Unauthenticated } from '../errors/authn-errors';
import type { Reloadable } from '../reloadable/reloadable';
import type { Clock } from '../time/clock';
import { type TokenRules, VerifiedTokens } from './verified-tokens';

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

/** Knows which users exist according to the cluster itself, not to an event. */
export abstract class UserPresence {
  /** Returns true as long as a namespace of the user is left. @throws IdentityUnavailable (503) while unknown */
  abstract isHere(user: string): boolean;
  /** Calls the listener when the last namespace of a user is gone. */
  abstract onGone(listener: (user: string) => void): void;
}

/** The user of a verified token. */
export interface VerifiedUser {
  readonly user: string;
  /** The user's groups in LLDAP. */
  readonly groups: readonly string[];
}

/** The longest name that Kubernetes allows; no user has a longer one. */
const MAX_USER_LENGTH = 253;

const RULES: TokenRules = { header: 'X-Authorization', algorithm: 'HS512', requiredClaims: ['exp'] };

/** LLDAP reads its key at its start: the old key counts until LLDAP was restarted and its users' pages have fresh tokens. */
export const USER_TOKEN_GRACE_MS = 5 * 60_000;

/**
 * Verifies X-Authorization: a JWT that LLDAP signs with HS512, and whose header has no `typ`.
 * The algorithm is pinned, `exp` is required, and the user is `username`.
 */
export class UserTokenVerifier {
  private readonly verified: VerifiedTokens<UserClaims>;

  constructor(
    secret: Reloadable<Uint8Array>,
    clock: Clock,
    /** Asked for every token that verifies, where configured: only it knows who logged out. */
    private readonly directory?: UserDirectory,
  ) {
    this.verified = new VerifiedTokens(RULES, secret, USER_TOKEN_GRACE_MS, clock, userFrom);
  }

  /** @throws Unauthenticated (401), IdentityUnavailable (503), TooManyRequests (429) */
  async verify(token: string | undefined): Promise<VerifiedUser> {
    if (token === undefined) throw new Unauthenticated('X-Authorization');
    const { user, groups, expiresAtMs } = await this.verified.verify(token);
    if (this.directory !== undefined && !(await this.directory.accepts({ token, user, expiresAtMs }))) {
      throw new Unauthenticated('X-Authorization');
    }
    return { user, groups };
  }
}

interface UserClaims extends VerifiedUser {
  readonly expiresAtMs: number;
}

function userFrom({ username, groups, exp }: Readonly<Record<string, unknown>>): UserClaims | undefined {
  if (typeof username !== 'string' || username === '' || username.length > MAX_USER_LENGTH) return undefined;
  return {
    user: username,
    groups: Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [],
    expiresAtMs: (typeof exp === 'number' ? exp : 0) * 1000,
  };
}
