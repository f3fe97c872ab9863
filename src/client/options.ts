export type Environment = 'test' | 'dev' | 'staging' | 'prod';

export interface Secret {
  readonly name: string;
  readonly value: string;
}

export interface SecretVaultOptions {
  /** The service, e.g. `http://secret-provider.user-system-alice`; also where the RBAC proxy answers for it. Either this or `systemServer`. */
  readonly url?: string;
  /** What the environment variable `OS_SYSTEM_SERVER` holds: calls go through the user's system-server (Olares up to 1.12.0). */
  readonly systemServer?: string;
  readonly workspace: string;
  /** `prod` where it is not given. */
  readonly environment?: Environment;
  /** The app's key and secret, with which the client gets its access tokens; or else `serviceAccountTokenFile`. */
  readonly appKey?: string;
  readonly appSecret?: string;
  /** A projected ServiceAccount token with the service's audience. */
  readonly serviceAccountTokenFile?: string;
  /** Behind the RBAC proxy without an envoy sidecar (Olares 1.12.7 and later): `/var/run/secrets/kubernetes.io/serviceaccount/token`. */
  readonly podTokenFile?: string;
  /** The user's token, or what returns a valid one each time. */
  readonly userToken?: string | (() => string | Promise<string>);
  /** For one attempt, in milliseconds; 10,000 where it is not given. */
  readonly timeoutMs?: number;
  /** How often a call is repeated where that is safe; 4 where it is not given. */
  readonly maxRetries?: number;
  /** Keeps values in memory. Without it every `retrieve` asks. */
  readonly cache?: CacheOptions;
}

export interface CacheOptions {
  /** How long a value is returned without asking, in milliseconds. */
  readonly ttlMs: number;
  /** How much longer it is returned while the service cannot be asked; 0 where it is not given. */
  readonly staleIfErrorMs?: number;
  /** 100 where it is not given. */
  readonly maxEntries?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends CallOptions {
  /** Asks although the cache has the value. */
  readonly noCache?: boolean;
}

export interface ListOptions extends CallOptions {
  /** Is called with the names of secrets that are left out, since the store cannot show their values; not where there are none. */
  readonly onUnreadable?: (names: readonly string[]) => void;
}

export interface WatchOptions extends CallOptions {
  /** Between two reads, in milliseconds; 30,000 where it is not given. */
  readonly intervalMs?: number;
}

/** Returns the address that everything is relative to. @throws TypeError where there is none, or more than one */
export function rootOf(url: string | undefined, systemServer: string | undefined): string {
  const given = url ?? systemServer;
  if (given === undefined || (url !== undefined && systemServer !== undefined))
    throw new TypeError('SecretVault needs either url or systemServer.');
  const address = addressIn(given.includes('://') ? given : `http://${given}`);
  // An empty query is none for URL, and what is appended to it would not be the path.
  if (
    !/^https?:$/.test(address.protocol) ||
    address.username + address.password !== '' ||
    /[?#\s]/.test(given)
  )
    throw new TypeError(
      'SecretVault needs an address of http or https without credentials, query and fragment.',
    );
  return address.href.replace(/\/+$/, '');
}

/** The error of URL holds what it was given. */
function addressIn(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new TypeError('The address that SecretVault was given is no URL.');
  }
}
