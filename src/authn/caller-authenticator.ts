import { Unauthenticated, UserMismatch } from '../errors/authn-errors';
import type { AccessTokens } from './access-tokens';
import type { Caller } from './caller';
import type { Peer } from './peer-verifier';
import type { ServiceAccountAuthenticator } from './service-account.authenticator';
import type { VerifiedUser, UserTokenVerifier } from './user-token.verifier';

/** The credentials that a request carries, each exactly as sent; undefined where it carries none. */
interface CallerCredentials {
  readonly userToken: string | undefined;
  readonly accessToken: string | undefined;
  /** Whose bearer token is the ServiceAccount token of the calling pod; the address proves nothing here. */
  readonly peer: Peer;
}

/**
 * Finds out who calls, from credentials alone: the app by X-Access-Token or by its pod's ServiceAccount token, and its user by
 * X-Authorization. No header is believed without proof.
 */
export class CallerAuthenticator {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly userTokens: UserTokenVerifier,
    /** Where false, background jobs may omit the user token; one that is sent must still be good. */
    private readonly userTokenRequired: boolean,
    /** Undefined where there is no cluster, so that no pod can prove itself. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {}

  /**
   * Where the app has two credentials, both must be good and name the same app; the access token's operations then bind.
   * @throws Unauthenticated (401), UserMismatch (403), TooManyRequests (429), IdentityUnavailable (503)
   */
  async authenticate({ userToken, accessToken, peer }: CallerCredentials): Promise<Caller> {
    const needsUser = this.userTokenRequired || userToken !== undefined;
    const user = needsUser ? (await this.userTokens.verify(userToken)).user : undefined;
    const app = accessToken === undefined ? undefined : await this.accessTokens.verify(accessToken);
    const pod = peer.bearer === undefined ? undefined : await this.verifyPod(peer.bearer, peer.address);
    if (app !== undefined && pod !== undefined && (app.app !== pod.app || app.user !== pod.user))
      throw new Unauthenticated('Authorization');
    const caller = app ?? pod;
    if (caller === undefined) throw new Unauthenticated('X-Access-Token');
    if (user !== undefined && user !== caller.user) throw new UserMismatch();
    return caller;
  }

  /** Authenticates a user without an app; the token is never optional here. @throws as authenticate */
  authenticateUser(userToken: string | undefined): Promise<VerifiedUser> {
    return this.userTokens.verify(userToken);
  }

  private async verifyPod(token: string, peerAddress: string | undefined): Promise<Caller> {
    if (this.serviceAccounts === undefined) throw new Unauthenticated('Authorization');
    return this.serviceAccounts.authenticate(token, peerAddress);
  }
}
