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
