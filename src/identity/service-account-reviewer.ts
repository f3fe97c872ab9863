import type { ServiceAccountName } from './peer-proof';

/** Asks the cluster whose ServiceAccount token this is. */
export abstract class ServiceAccountReviewer {
  /**
   * @param peerAddress of the socket that the token came by: no peer takes the others' turns
   * @returns undefined where the token is not good, or was made for somebody else than us.
   * @throws IdentityUnavailable (503) when the cluster does not answer, TooManyRequests (429)
   */
  abstract review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined>;
}
