import { Unauthenticated, UserMismatch } from '../errors/identity-errors';
import type { AccessTokens } from './access-token';
import type { Caller } from './caller';
import { CallerAuthenticator, type Credentials } from './caller-authenticator';
import type { UserTokenVerifier, VerifiedUser } from './user-token.verifier';

/** The app proves itself with X-Access-Token, its user with X-Authorization. */
export class AccessTokenAuthenticator extends CallerAuthenticator {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly userTokens: UserTokenVerifier,
    /** False lets background jobs go without a user token; one that is sent must still be good. */
    private readonly userTokenRequired: boolean,
  ) {
    super();
  }

  async authenticate({ userToken, accessToken }: Credentials): Promise<Caller> {
    const user = await this.verifyUser(userToken);
    if (accessToken === undefined) throw new Unauthenticated('X-Access-Token');
    const caller = await this.accessTokens.verify(accessToken);
    if (user !== undefined && user !== caller.user) throw new UserMismatch();
    return caller;
  }

  async authenticateUser(userToken: string | undefined): Promise<VerifiedUser> {
    if (userToken === undefined) throw new Unauthenticated('X-Authorization');
    return this.userTokens.verify(userToken);
  }

  private async verifyUser(userToken: string | undefined): Promise<string | undefined> {
    if (userToken === undefined && !this.userTokenRequired) return undefined;
    return (await this.authenticateUser(userToken)).user;
  }
}
