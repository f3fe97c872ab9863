/** A ServiceAccount of the cluster, proven by a token that the API server reviewed. */
export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Knows which peers of a connection are what they say. system-server calls on behalf of apps, and nothing that it
 * sends proves itself: so its pods' addresses, or its ServiceAccount, must.
 */
export abstract class PeerProof {
  /** @param peerAddress of the socket, never of a header; true where it is one of this user's system-server pods */
  abstract provesSystemServer(peerAddress: string, user: string): boolean;
  /** The configured, trusted ServiceAccount that this token belongs to. @throws IdentityUnavailable */
  abstract serviceAccountOf(token: string): Promise<ServiceAccountName | undefined>;
}
