import type { Clock } from '../clock/clock';
import { Unauthenticated } from '../errors/identity-errors';
import { type Rotating, stillGood } from '../rotation/rotating';
import type { UserDirectory } from './user-directory';
import { verifiedClaims } from './verified-claims';

/** The user whom a token speaks for. */
export interface VerifiedUser {
  readonly user: string;
  /** LLDAP's groups of the user. */
  readonly groups: readonly string[];
}

/** Names longer than a Kubernetes label's are nobody's. */
const MAX_USER_LENGTH = 253;

/** LLDAP reads its key when it starts: until it has been restarted, and its users' pages have fresh tokens, the old one counts. */
export const USER_TOKEN_GRACE_MS = 5 * 60_000;

/**
 * Verifies X-Authorization: a JWT that LLDAP signs with HS512; its header carries no `typ`.
 * The algorithm is pinned, `exp` is required, the user is `username`.
 */
export class UserTokenVerifier {
  constructor(
    private readonly secret: Rotating<Uint8Array>,
    private readonly clock: Clock,
    /** Asked for every token that verifies, where one is configured: only it knows who logged out. */
    private readonly directory?: UserDirectory,
  ) {}

  /** @throws Unauthenticated (401), IdentityUnavailable (503) */
  async verify(token: string): Promise<VerifiedUser> {
    const { user, groups, expiresAtMs } = await this.readClaims(token);
    if (this.directory !== undefined && !(await this.directory.accepts(token, expiresAtMs))) {
      throw new Unauthenticated('X-Authorization');
    }
    return { user, groups };
  }

  private async readClaims(token: string): Promise<VerifiedUser & { expiresAtMs: number }> {
    const nowMs = this.clock.nowMs();
    const claims = await verifiedClaims(token, stillGood(this.secret, USER_TOKEN_GRACE_MS, nowMs), {
      algorithms: ['HS512'],
      requiredClaims: ['exp'],
      currentDate: new Date(nowMs),
    });
    const { username, groups, exp } = claims ?? {};
    if (typeof username === 'string' && username !== '' && username.length <= MAX_USER_LENGTH) {
      return { user: username, groups: texts(groups), expiresAtMs: (exp ?? 0) * 1000 };
    }
    throw new Unauthenticated('X-Authorization');
  }
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
