import type { Rotating } from '../rotation/rotating';

/** Where Redis is, and as whom we come; the password is in here. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
  readonly tls: boolean;
}

/** Who tells the primary's address, in place of the server's own host and port. */
export interface RedisSentinels {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly masterName: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

export interface RedisOptions {
  /** A new value is used by new connections, which are then made. */
  readonly server: Rotating<RedisServer>;
  readonly sentinels?: RedisSentinels;
  /** All that are trusted, asked for at each connection; Node's own where it is absent. */
  readonly authorities?: () => readonly string[];
  /** What the names of keys and of the channel begin with. */
  readonly keyPrefix: string;
}
