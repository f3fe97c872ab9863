import type { Caller } from './caller';
import type { VerifiedUser } from './user-token.verifier';

/** The credentials that a request carries, each exactly as sent; undefined where it carries none. */
export interface Credentials {
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
  abstract authenticate(credentials: Credentials): Promise<Caller>;
  /** A user alone, by their own token, which is never optional here. @throws as authenticate */
  abstract authenticateUser(userToken: string | undefined): Promise<VerifiedUser>;
}
