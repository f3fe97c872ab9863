import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** Returns one text for each IP address, an IPv4-mapped IPv6 address included; undefined where it is no address. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  const [withoutZone = ''] = address.split('%');
  if (!isIPv6(withoutZone)) return undefined;
  const canonical = new URL(`http://[${withoutZone}]`).hostname.slice(1, -1);
  const pairs = MAPPED.exec(canonical)?.slice(1);
  if (pairs === undefined) return canonical;
  const bytes = pairs.map((pair) => parseInt(pair, 16)).flatMap((pair) => [pair >> 8, pair & 255]);
  return bytes.join('.');
}

/** Returns those of the values that are addresses. */
export function canonicalAddresses(values: readonly unknown[]): readonly string[] {
  return values
    .map((value) => (typeof value === 'string' ? canonicalAddress(value) : undefined))
    .filter((address) => address !== undefined);
}

export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

/** Stands for the user in the namespace of an account that each user has. */
export const USER = '<user>';

/** Returns whether the account can be in this namespace, for one user or another. */
export function canBeIn({ namespace: of }: ServiceAccountName, namespace: string): boolean {
  const [before = '', after] = of.split(USER);
  if (after === undefined) return namespace === of;
  const leavesUser = namespace.length > before.length + after.length;
  return leavesUser && namespace.startsWith(before) && namespace.endsWith(after);
}

/** The evidence of who is at the other end of a connection. */
export interface Peer {
  /** Address of the socket, never of a header; undefined proves nothing. Token reviews are queued fairly by it. */
  readonly address: string | undefined;
  /** The token of `Authorization: Bearer`, where one was sent. */
  readonly bearer: string | undefined;
}

/** The evidence that counts for a peer; by default either. */
export type PeerEvidence = 'address or token' | 'token';

const USER_NAMESPACE = /^user-(?:system|space)-(.*)$/;

/** Verifies who the peer is. system-server calls for apps without a credential: its pods' addresses or its ServiceAccount must prove it. */
export abstract class PeerVerifier {
  /** Returns whether the socket's address is one of this user's system-server pods. */
  abstract provesSystemServer(peerAddress: string | undefined, user: string): boolean;
  /** Returns the peer's ServiceAccount if it is a configured, trusted one. @throws IdentityUnavailable, TooManyRequests */
  abstract trustedServiceAccountOf(peer: Peer, by?: PeerEvidence): Promise<ServiceAccountName | undefined>;
  /** Returns whether the peer may report created and deleted users. @throws IdentityUnavailable, TooManyRequests */
  abstract provesEventSender(peer: Peer): Promise<boolean>;
  /**
   * Returns the peer's ServiceAccount where the peer is a pod that STATIC_GRANTS may name: that of the token that was sent, else
   * of the pod at the address, which must not be a system-server's. @throws IdentityUnavailable, TooManyRequests
   */
  staticAccountOf(_peer: Peer): Promise<ServiceAccountName | undefined> {
    return Promise.resolve(undefined);
  }

  /** Returns whether the peer is the Settings app of this user. @throws IdentityUnavailable, TooManyRequests */
  abstract provesSettings(peer: Peer, user: string): Promise<boolean>;

  /** Returns whether the peer has a trusted ServiceAccount that may act for the user. @throws as trustedServiceAccountOf */
  async provesTrustedFor(peer: Peer, user: string, by?: PeerEvidence): Promise<boolean> {
    const account = await this.trustedServiceAccountOf(peer, by);
    return account !== undefined && maySpeakFor(account, user);
  }
}

/** Returns false where the account is in the namespace of another user. */
export function maySpeakFor({ namespace }: ServiceAccountName, user: string): boolean {
  const [, owner = user] = USER_NAMESPACE.exec(namespace) ?? [];
  return owner === user;
}

/** Used outside a cluster: no peer can be proven. */
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
