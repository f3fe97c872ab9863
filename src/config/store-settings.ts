import { BlockList, isIP } from 'node:net';
import { type EnvironmentVariables, type EnvironmentReader, readTextFile } from './environment-reader';
import { authorityFiles } from './tls-settings';

type ProxySetting =
  | Readonly<Record<string, never>>
  /** May contain the proxy's user and password. */
  | { readonly proxyUrl: string }
  /** The problem of the variable, without its value. */
  | { readonly name: string; readonly problem: string };

/**
 * Returns the proxy for `url` according to HTTPS_PROXY or HTTP_PROXY and NO_PROXY; a name in lower case takes precedence, as
 * in curl. `<NAME>_FILE` is a path whose content is the proxy, read only where it applies. No proxy is used for this machine.
 */
export function proxySetting(env: EnvironmentVariables, url: string): ProxySetting {
  const { protocol, hostname, port } = new URL(url);
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const [value, file] = [given(env, name), given(env, `${name}_FILE`)];
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const usedPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  if ((value === undefined && file === undefined) || isLoopback(host)) return {};
  const exceptions = (given(env, 'NO_PROXY') ?? '').toLowerCase().split(/[\s,]+/);
  if (exceptions.some((entry) => covers(entry, host, usedPort))) return {};
  if (file === undefined) return usable(value ?? '', name);
  if (value !== undefined) return { name, problem: `and ${name}_FILE are both set; set one` };
  try {
    return usable(readTextFile(file).trim(), `${name}_FILE`);
  } catch (error: unknown) {
    return { name: `${name}_FILE:`, problem: (error as Error).message };
  }
}

function usable(text: string, name: string): ProxySetting {
  const proxyUrl = text.includes('://') ? text : `http://${text}`;
  if (isProxyUrl(proxyUrl)) return { proxyUrl };
  return {
    name,
    problem: 'must be an http or https URL without a path, with user and password if it wants any',
  };
}

function given(env: EnvironmentVariables, name: string): string | undefined {
  const value = [env[name.toLowerCase()], env[name]].find((text) => text !== undefined && text.trim() !== '');
  return value?.trim();
}

function isProxyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash, username, password } = new URL(text);
  try {
    // Each must be decodable by itself, as it is used: the other one must not complete an escape.
    for (const part of [username, password]) decodeURIComponent(part);
  } catch {
    return false;
  }
  return /^https?:$/.test(protocol) && hostname !== '' && pathname === '/' && search + hash === '';
}

function isLoopback(host: string): boolean {
  return /(^|\.)localhost$/.test(host) || isWithin(host, '127.0.0.0', 8) || host === '::1';
}

/**
 * Returns whether an entry of NO_PROXY covers the host: `*`, `host`, `.suffix`, `*.suffix`, an address, or a range of
 * addresses; all but `*` and ranges may have a `:port`.
 */
function covers(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const range = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/.exec(entry);
  if (range !== null) return isWithin(host, range[1] ?? '', Number(range[2]));
  const [, name = '', onlyPort = port] = /^(\[[^\]]+\]|[^:]+|[0-9a-f:.]+)(?::(\d+))?$/.exec(entry) ?? [];
  const suffix = name.replace(/^\*?\./, '').replace(/^\[|\]$/g, '');
  if (suffix === '' || onlyPort !== port) return false;
  // A bare name covers itself and its subdomains; one after a dot only the subdomains.
  if (host === suffix) return !/^\*?\./.test(name);
  return isIP(host) === 0 && host.endsWith(`.${suffix}`);
}

function isWithin(host: string, network: string, bits: number): boolean {
  const [inNetwork, inHost] = [isIP(network), isIP(host)];
  if (inNetwork === 0 || inHost === 0 || bits > (inNetwork === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, inNetwork === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, inHost === 4 ? 'ipv4' : 'ipv6');
}

export type ConnectionSettings = Readonly<ReturnType<typeof connectionSettings>>;

/**
 * Reads the settings of the connection to Infisical beside its address.
 * @param url empty where it was already reported as a problem
 */
export function connectionSettings(read: EnvironmentReader, env: EnvironmentVariables, url: string) {
  const proxy = url === '' ? {} : proxySetting(env, url);
  if ('problem' in proxy) read.problem(proxy.name, proxy.problem);
  const authorities = authorityFiles(read, 'INFISICAL_CA_FILE');
  return {
    ...('proxyUrl' in proxy && { proxyUrl: proxy.proxyUrl }),
    ...(authorities !== undefined && { authorityFiles: authorities }),
  };
}

export type CacheSettings = Readonly<NonNullable<ReturnType<typeof cacheSettings>>>;

/** Universal Auth or Kubernetes Auth. */
type InfisicalLogin =
  | { readonly clientId: string; readonly clientSecret: string }
  | { readonly identityId: string; readonly tokenFile: string };

export type InfisicalStoreSettings = InfisicalLogin &
  ConnectionSettings & {
    readonly kind: 'infisical';
    readonly url: string;
    readonly organizationId?: string;
    readonly timeoutMs: number;
    readonly cache?: CacheSettings;
  };

type StoreSettings =
  | InfisicalStoreSettings
  | {
      readonly kind: 'embedded';
      readonly dataDir: string;
      readonly masterKey: Uint8Array;
      readonly maxDiskReserveBytes: number;
    };

const MEBIBYTE = 1_048_576;
const UNIVERSAL_AUTH = ['INFISICAL_CLIENT_ID', 'INFISICAL_CLIENT_SECRET'] as const;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Chooses Infisical where INFISICAL_URL is set, and the embedded store otherwise. */
export function storeSettings(read: EnvironmentReader, env: EnvironmentVariables): StoreSettings {
  const timeoutMs = read.integer('INFISICAL_TIMEOUT_MS', 100, 300_000);
  const cache = cacheSettings(read);
  if ((env['INFISICAL_URL'] ?? '') === '') {
    for (const name of [...UNIVERSAL_AUTH, 'INFISICAL_KUBERNETES_IDENTITY_ID'] as const) {
      if (read.isGiven(name)) read.problem('INFISICAL_URL', `must be set when ${name} is`);
    }
    return {
      kind: 'embedded',
      dataDir: read.required('DATA_DIR', 'must name the folder of the embedded store'),
      masterKey: read.key(
        'MASTER_KEY',
        'must hold the master key of the embedded store (or set INFISICAL_URL)',
      ),
      maxDiskReserveBytes: read.integer('DISK_RESERVE_MIB', 0, 65_536) * MEBIBYTE,
    };
  }
  const organizationId = read.text('INFISICAL_ORGANIZATION_ID')?.toLowerCase();
  if (organizationId !== undefined && !UUID.test(organizationId))
    read.problem(
      'INFISICAL_ORGANIZATION_ID',
      'must be the id of an organization, a UUID, not its name or slug',
    );
  const url = read.url('INFISICAL_URL') ?? '';
  return {
    kind: 'infisical',
    url,
    ...connectionSettings(read, env, url),
    ...infisicalLogin(read),
    ...(organizationId === undefined ? {} : { organizationId }),
    timeoutMs,
    ...(cache !== undefined && { cache }),
  };
}

/** Reads the credentials of exactly one way to log in; both are a problem. */
function infisicalLogin(read: EnvironmentReader): InfisicalLogin {
  const identityId = read.text('INFISICAL_KUBERNETES_IDENTITY_ID');
  if (identityId === undefined) {
    const why =
      'must be set when INFISICAL_URL is (or INFISICAL_KUBERNETES_IDENTITY_ID, for Kubernetes Auth)';
    return {
      clientId: read.credential('INFISICAL_CLIENT_ID', why),
      clientSecret: read.credential('INFISICAL_CLIENT_SECRET', why),
    };
  }
  for (const name of UNIVERSAL_AUTH) {
    if (read.isGiven(name))
      read.problem('INFISICAL_KUBERNETES_IDENTITY_ID', `and ${name} are both set; choose one way to log in`);
  }
  const tokenFile = read.required('INFISICAL_KUBERNETES_TOKEN_FILE', 'must name a file');
  return { identityId, tokenFile };
}

/** Returns undefined where the cache is off. */
function cacheSettings(read: EnvironmentReader) {
  const ttlMs = read.integer('CACHE_TTL_MS', 0, 300_000);
  const settings = {
    ttlMs,
    maxStaleMs: read.integer('CACHE_MAX_STALE_MS', 0, 3_600_000),
    maxEntries: read.integer('CACHE_MAX_ENTRIES', 1, 1_000_000),
    maxBytes: read.integer('CACHE_MAX_MIB', 1, 4_096) * MEBIBYTE,
  };
  return ttlMs === 0 ? undefined : settings;
}
