import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** One text for each IP address, an IPv4 address in IPv6 clothes included; undefined where it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  const [withoutZone = ''] = address.split('%');
  if (!isIPv6(withoutZone)) return undefined;
  const canonical = new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
  const [, high, low] = MAPPED.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const bytes = [parseInt(high, 16), parseInt(low, 16)].flatMap((pair) => [pair >> 8, pair & 255]);
  return bytes.join('.');
}

/** A ServiceAccount of the cluster. */
export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

/** Who is at the other end of a connection, as far as it can be proven. */
export interface Peer {
  /** Of the socket, never of a header; undefined proves nothing. It is also whose turn it is while a token is reviewed. */
  readonly address: string | undefined;
  /** `Authorization: Bearer`, where one was sent. */
  readonly bearer: string | undefined;
}

/** What may prove a peer; either of them where nothing is said. */
export type PeerEvidence = 'address or token' | 'token';

const USER_NAMESPACE = /^user-(?:system|space)-(.*)$/;

/**
 * Knows which peers of a connection are what they say. system-server calls on behalf of apps, and nothing that it
 * sends proves itself: so its pods' addresses, or its ServiceAccount, must.
 */
export abstract class PeerVerifier {
  /** @param peerAddress of the socket; true where it is one of this user's system-server pods */
  abstract provesSystemServer(peerAddress: string | undefined, user: string): boolean;
  /** The configured, trusted ServiceAccount that this peer has. @throws IdentityUnavailable, TooManyRequests */
  abstract trustedServiceAccountOf(peer: Peer, by?: PeerEvidence): Promise<ServiceAccountName | undefined>;
  /** Whether the peer may tell of created and deleted users. @throws IdentityUnavailable, TooManyRequests */
  abstract provesEventSender(peer: Peer): Promise<boolean>;
  /** Whether the peer is the Settings app of this user. @throws IdentityUnavailable, TooManyRequests */
  abstract provesSettings(peer: Peer, user: string): Promise<boolean>;

  /** Whether the peer has a trusted ServiceAccount, and none of another user. @throws IdentityUnavailable, TooManyRequests */
  async provesTrustedFor(peer: Peer, user: string, by?: PeerEvidence): Promise<boolean> {
    const account = await this.trustedServiceAccountOf(peer, by);
    return account !== undefined && maySpeakFor(account, user);
  }
}

/** An account of a user's own namespace speaks for that user alone. */
export function maySpeakFor({ namespace }: ServiceAccountName, user: string): boolean {
  const [, owner = user] = USER_NAMESPACE.exec(namespace) ?? [];
  return owner === user;
}

/** Outside a cluster nobody is proven to be anybody. */
export class NoPeerVerifier extends PeerVerifier {
  provesSystemServer(): boolean {
    return false;
  }

  trustedServiceAccountOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  provesEventSender(): Promise<boolean> {
    return Promise.resolve(false);
  }

  provesSettings(): Promise<boolean> {
    return Promise.resolve(false);
  }
}
