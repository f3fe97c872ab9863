import type { Caller } from './caller';
import type { VerifiedUser, UserTokenVerifier } from './user-token.verifier';
import { Unauthenticated, UserMismatch } from '../errors/authn-errors';
import type { AccessTokens } from './access-tokens';
import type { ServiceAccountAuthenticator } from './service-account.authenticator';

/** The credentials that a request carries, each exactly as sent; undefined where it carries none. */
interface CallerCredentials {
  readonly userToken: string | undefined;
  readonly accessToken: string | undefined;
  /** Of the calling pod; what `Authorization: Bearer` carries. */
  readonly serviceAccountToken: string | undefined;
  /** Of the socket; it proves nothing here, and only keeps one peer from taking the others' turns. */
  readonly peerAddress: string | undefined;
}

/** Finds out who calls from what they can prove. Nothing is taken from a header by its name alone. */
export abstract class CallerAuthenticator {
  /** @throws Unauthenticated (401), UserMismatch (403), TooManyRequests (429), IdentityUnavailable (503) */
  abstract authenticate(credentials: CallerCredentials): Promise<Caller>;
  /** A user alone, by their own token, which is never optional here. @throws as authenticate */
  abstract authenticateUser(userToken: string | undefined): Promise<VerifiedUser>;
}

/** The app proves itself with X-Access-Token or with its pod's ServiceAccount token, its user with X-Authorization. */
export class CredentialsAuthenticator extends CallerAuthenticator {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly userTokens: UserTokenVerifier,
    /** False lets background jobs go without a user token; one that is sent must still be good. */
    private readonly userTokenRequired: boolean,
    /** Undefined where there is no cluster: then no pod can prove itself. */
    private readonly serviceAccounts: ServiceAccountAuthenticator | undefined,
  ) {
    super();
  }

  async authenticate(credentials: CallerCredentials): Promise<Caller> {
    const user = await this.verifyUser(credentials.userToken);
    const caller = await this.verifyApp(credentials);
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

  /** Of two credentials both must be good and the same app's; the access token's operations then bind. */
  private async verifyApp({
    accessToken,
    serviceAccountToken,
    peerAddress,
  }: CallerCredentials): Promise<Caller> {
    const app = accessToken === undefined ? undefined : await this.accessTokens.verify(accessToken);
    const pod =
      serviceAccountToken === undefined ? undefined : await this.verifyPod(serviceAccountToken, peerAddress);
    if (app !== undefined && pod !== undefined && (app.app !== pod.app || app.user !== pod.user)) {
      throw new Unauthenticated('Authorization');
    }
    const caller = app ?? pod;
    if (caller === undefined) throw new Unauthenticated('X-Access-Token');
    return caller;
  }

  private async verifyPod(token: string, peerAddress: string | undefined): Promise<Caller> {
    if (this.serviceAccounts === undefined) throw new Unauthenticated('Authorization');
    return this.serviceAccounts.authenticate(token, peerAddress);
  }
}
