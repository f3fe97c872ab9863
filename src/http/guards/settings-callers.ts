import { NotSettingsApp, UserMismatch } from '../../errors/authn-errors';
import type { CallerAuthenticator } from '../../authn/caller-authenticator';
import type { PeerVerifier } from '../../authn/peer-verifier';
import { peerOf } from '../request/credential-headers';
import { settingsTokenIn } from '../request/login-cookie';
import type { ProviderRequest } from '../request/provider-request';

/** `service-accounts`: the proven Settings app of the user may call; `user-token`: whoever holds the user's token may. */
type SettingsRoutesMode = 'off' | 'service-accounts' | 'user-token';

/**
 * Finds out for whom the Settings app calls. In a cluster the user's token alone is not enough: every app sends it, so
 * every app holds it.
 */
export class SettingsCallers {
  constructor(
    private readonly authenticator: CallerAuthenticator,
    private readonly peers: PeerVerifier,
    private readonly mode: SettingsRoutesMode,
    /** The LLDAP group whose members may act for other users; undefined: nobody may. */
    private readonly adminGroup: string | undefined,
  ) {}

  /**
   * Returns the user of the token; for an administrator, the user whom the query names. The frontend must be that of the
   * token's user in both cases. It forwards what a browser sent, so forwarding headers do not matter here.
   * @throws Unauthenticated (401), NotSettingsApp, CrossSiteRequest, UserMismatch (403), IdentityUnavailable (503), TooManyRequests (429)
   */
  async userOf(request: ProviderRequest): Promise<string> {
    const own = await this.authenticator.authenticateUser(settingsTokenIn(request));
    if (this.mode !== 'user-token') await this.requireSettings(request, own.user);
    const { user: named } = request.query;
    if (named === undefined || named === own.user) return own.user;
    const { adminGroup } = this;
    const isAdministrator = adminGroup !== undefined && own.groups.includes(adminGroup);
    if (typeof named !== 'string' || !isAdministrator) throw new UserMismatch();
    return named;
  }

  private async requireSettings(request: ProviderRequest, user: string): Promise<void> {
    if (!(await this.peers.provesSettings(peerOf(request), user))) throw new NotSettingsApp();
  }
}
