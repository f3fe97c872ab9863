/** Knows which tokens still count: a logged-out token verifies until it expires, and only its issuer knows. */
export abstract class UserDirectory {
  /**
   * @param expiresAtMs the token's own end, after which nobody asks for it any more
   * @throws IdentityUnavailable when the directory does not answer
   */
  abstract accepts(token: string, expiresAtMs: number): Promise<boolean>;
}
