import type { EnvironmentReader } from './environment-reader';
import { authorityFiles } from './tls-settings';

export type RedisSettings = Readonly<NonNullable<ReturnType<typeof redisSettings>>>;

const NOT_A_URL = 'must be redis://[[user]:password@]host[:port][/database], or rediss:// for TLS';
const SENTINEL_PORT = 26_379;

/** Returns undefined where there is no Redis. */
export function redisSettings(read: EnvironmentReader) {
  const url = read.optionalCredential('REDIS_URL');
  const sentinels = sentinelSettings(read);
  const authorities = authorityFiles(read, 'REDIS_CA_FILE');
  const keyPrefix = read.required('REDIS_KEY_PREFIX', 'must be text');
  if (!/^[\x21-\x7a]{1,64}$/.test(keyPrefix)) {
    read.problem('REDIS_KEY_PREFIX', 'must have at most 64 printable characters and no space');
  }
  if (url === undefined) {
    if (sentinels !== undefined) read.problem('REDIS_URL', 'must be set when REDIS_SENTINEL_HOSTS is');
    return undefined;
  }
  try {
    return {
      server: redisServerFrom(url),
      keyPrefix,
      ...(sentinels !== undefined && { sentinels }),
      ...(authorities !== undefined && { authorityFiles: authorities }),
    };
  } catch (error: unknown) {
    read.problem('REDIS_URL', (error as Error).message);
    return undefined;
  }
}

/** Returns the parts of a Redis URL. @throws Error with a rule that names no part of the URL */
export function redisServerFrom(text: string) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '')?.[1];
  const isPlain = url?.search === '' && url.hash === '' && url.hostname !== '';
  if (!isPlain || database === undefined || !/^rediss?:$/.test(url.protocol)) throw new Error(NOT_A_URL);
  const [username, password] = [decoded(url.username), decoded(url.password)];
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 6_379),
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    database: Number(database),
    tls: url.protocol === 'rediss:',
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Error(NOT_A_URL);
  }
}

function sentinelSettings(read: EnvironmentReader) {
  const text = read.text('REDIS_SENTINEL_HOSTS');
  const tls = read.boolean('REDIS_SENTINEL_ENABLE_TLS');
  const password = read.optionalCredential('REDIS_SENTINEL_PASSWORD');
  if (text === undefined) return undefined;
  const username = read.text('REDIS_SENTINEL_USERNAME');
  const hosts = text.split(',').map((one) => {
    const [, bracketed, plain, port] = /^(?:\[([\da-fA-F:.]+)\]|([^:\s[\]]+))(?::(\d{1,5}))?$/.exec(one.trim()) ?? []; // prettier-ignore
    return { host: bracketed ?? plain ?? '', port: Number(port ?? SENTINEL_PORT) };
  });
  if (hosts.some(({ host, port }) => host === '' || port < 1 || port > 65_535)) {
    read.problem('REDIS_SENTINEL_HOSTS', 'must list host:port, separated by commas');
  }
  return {
    hosts,
    masterName: read.required('REDIS_SENTINEL_MASTER_NAME', 'must be set'),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    tls,
  };
}
