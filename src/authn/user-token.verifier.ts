import type { Clock } from '../time/clock';
import { Unauthenticated } from '../errors/authn-errors';
import { type Reloadable, stillGood } from '../reloadable/reloadable';
import { type TokenRules, VerifiedTokens } from './verified-tokens';

/** A token whose signature and end were found good. */
export interface VerifiedToken {
  readonly token: string;
  readonly user: string;
  /** After this nobody asks for it any more. */
  readonly expiresAtMs: number;
}

/** Knows which tokens still count: a logged-out token verifies until it expires, and only its issuer knows. */
export abstract class UserDirectory {
  /** @throws IdentityUnavailable (503) when the directory does not answer, TooManyRequests (429) */
  abstract accepts(token: VerifiedToken): Promise<boolean>;
}

/** Knows which users there are, as the cluster itself says: not what an event says of them. */
export abstract class UserPresence {
  /** True as long as anything of the user's own may still run. @throws IdentityUnavailable (503) while unknown */
  abstract isHere(user: string): boolean;
  /** Told when the last of a user is gone. */
  abstract onGone(listener: (user: string) => void): void;
}

/** The user whom a token speaks for. */
export interface VerifiedUser {
  readonly user: string;
  /** LLDAP's groups of the user. */
  readonly groups: readonly string[];
}

/** Names longer than a Kubernetes label's are nobody's. */
const MAX_USER_LENGTH = 253;

const RULES: TokenRules = { algorithms: ['HS512'], requiredClaims: ['exp'] };

/** LLDAP reads its key when it starts: until it has been restarted, and its users' pages have fresh tokens, the old one counts. */
export const USER_TOKEN_GRACE_MS = 5 * 60_000;

/**
 * Verifies X-Authorization: a JWT that LLDAP signs with HS512; its header carries no `typ`.
 * The algorithm is pinned, `exp` is required, the user is `username`.
 */
export class UserTokenVerifier {
  private readonly verified: VerifiedTokens<UserClaims>;

  constructor(
    private readonly secret: Reloadable<Uint8Array>,
    private readonly clock: Clock,
    /** Asked for every token that verifies, where one is configured: only it knows who logged out. */
    private readonly directory?: UserDirectory,
  ) {
    this.verified = new VerifiedTokens(RULES, userIn, clock);
  }

  /** @throws Unauthenticated (401), IdentityUnavailable (503), TooManyRequests (429) */
  async verify(token: string): Promise<VerifiedUser> {
    const keys = stillGood(this.secret, USER_TOKEN_GRACE_MS, this.clock.nowMs());
    const claims = await this.verified.verify(token, keys);
    if (claims === undefined) throw new Unauthenticated('X-Authorization');
    const { user, groups, expiresAtMs } = claims;
    if (this.directory !== undefined && !(await this.directory.accepts({ token, user, expiresAtMs }))) {
      throw new Unauthenticated('X-Authorization');
    }
    return { user, groups };
  }
}

interface UserClaims extends VerifiedUser {
  readonly expiresAtMs: number;
}

function userIn({ username, groups, exp }: Readonly<Record<string, unknown>>): UserClaims | undefined {
  if (typeof username !== 'string' || username === '' || username.length > MAX_USER_LENGTH) return undefined;
  return { user: username, groups: texts(groups), expiresAtMs: (typeof exp === 'number' ? exp : 0) * 1000 };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
