import { CLOCK_WINDOW_S } from '../../authn/app-proof.verifier';
import { trustedAuthorities } from '../../bootstrap/runtime.module';
import type { Settings } from '../../config/settings';
import type { InfisicalStoreSettings } from '../../config/store-settings';
import { lldapFailureOf, PROBE_TOKEN, verifyAtLldap } from '../../lldap/lldap.user-directory';
import { fixed } from '../../reloadable/reloadable';
import { SystemClock, SystemMonotonicTime } from '../../time/clock';
import { type CheckResult, failed, ok, skipped, warned } from './checks';

/** Told by a check that reached a server: how far the server's clock is ahead of ours, in milliseconds. */
export type NoteSkew = (server: string, skewMs: number) => void;

/** A Date header has no fraction of a second. */
const HALF_SECOND_MS = 500;

export function skewOf(dateMs: number): number {
  return dateMs + HALF_SECOND_MS - Date.now();
}

/** Asks Infisical by reads alone, as the service does. @param timeoutMs of one call */
export async function checkInfisical(
  { store }: Settings,
  timeoutMs: number,
  noteSkew: NoteSkew,
): Promise<readonly CheckResult[]> {
  const name = 'infisical';
  if (store.kind === 'embedded')
    return [skipped(name, 'INFISICAL_URL is not set: secrets are in the embedded store.')];
  const { NO_ANSWER } = await import('../../stores/infisical/operations.js');
  const { inspectInfisical } = await import('../../stores/infisical/setup/identity-check.js');
  const { infisicalConnection } = await import('../../stores/infisical/infisical.module.js');
  const { authorityFiles: _files, proxyUrl: _proxy, ...options } = store;
  const { parts, apiVersion, dateMs } = await inspectInfisical(
    { ...options, ...infisicalConnection(store), operationTimeoutMs: timeoutMs },
    new SystemClock(),
    timeoutMs,
  );
  if (dateMs !== undefined) noteSkew('Infisical', skewOf(dateMs));
  const right = {
    server: `${hostOf(store)} answers; it speaks ${apiVersion ?? 'an unknown version'}.`,
    login: 'The machine identity logs in.',
    organization: 'The organization is the one of the machine identity.',
    projects: 'The machine identity may create projects, and no more than it needs.',
  };
  const missing = {
    server: 'It was not asked.',
    login: 'Not tried, since Infisical did not answer as it should.',
    organization:
      store.organizationId === undefined
        ? 'INFISICAL_ORGANIZATION_ID is not set, so any organization counts.'
        : 'Not compared, since an earlier step failed.',
    projects:
      'Not told by reads without INFISICAL_ORGANIZATION_ID: npm run infisical:setup -- --check makes a project and deletes it.',
  };
  return (['server', 'login', 'organization', 'projects'] as const).map((part) => {
    const found = parts[part];
    const check = part === 'server' ? name : `${name}-${part}`;
    if (found === undefined) return skipped(check, missing[part]);
    if (found.problem === undefined) return ok(check, right[part]);
    if (found.problem === NO_ANSWER)
      return failed(
        check,
        `${NO_ANSWER} Do DNS, proxy and network policy lead to ${hostOf(store)}, and does it run?`,
      );
    return found.isMinor === true ? warned(check, found.problem) : failed(check, found.problem);
  });
}

function hostOf({ url }: InfisicalStoreSettings): string {
  return new URL(url).host;
}

/** Asks LLDAP about what is no token. */
export async function checkLldap(
  { userToken: { lldapUrl } }: Settings,
  timeoutMs: number,
  noteSkew: NoteSkew,
): Promise<CheckResult> {
  const name = 'lldap';
  if (lldapUrl === undefined)
    return skipped(name, 'LLDAP_URL is not set: logged-out tokens are accepted until they expire.');
  try {
    const { unlikeLldap, dateMs } = await verifyAtLldap({ url: lldapUrl, timeoutMs }, PROBE_TOKEN);
    if (dateMs !== undefined) noteSkew('LLDAP', skewOf(dateMs));
    if (unlikeLldap !== undefined)
      return failed(
        name,
        `What LLDAP_URL leads to does not answer as LLDAP does (${unlikeLldap}): correct it, or see the log of LLDAP.`,
      );
    return ok(name, 'LLDAP answers.');
  } catch (error: unknown) {
    const advice = 'check LLDAP_URL, and whether the network policy lets us out';
    return failed(name, `LLDAP does not answer (${lldapFailureOf(error)}): ${advice}.`);
  }
}

const REDIS_ADVICE: Readonly<Record<string, string>> = {
  credentialsRefused: 'it refuses user or password: correct REDIS_URL',
  permissionDenied: 'its user may not do what is needed: docs/redis.md lists the commands',
  certificateRefused: 'its certificate is not trusted: REDIS_CA_FILE names its authority',
  tlsFailed: 'TLS failed: rediss:// is for TLS, redis:// is without',
  unreachable: 'it is not reachable: check host and port of REDIS_URL, and the network policy',
};

/** Connects to Redis as the service does, with both connections. */
export async function checkRedis({ redis }: Settings, timeoutMs: number): Promise<CheckResult> {
  const name = 'redis';
  if (redis === undefined) return skipped(name, 'REDIS_URL is not set: this replica runs alone.');
  const { RedisClient } = await import('../../redis/redis-client.js');
  const { server, sentinels, authorityFiles, keyPrefix } = redis;
  const trusted = authorityFiles && trustedAuthorities('REDIS_CA_FILE', authorityFiles, undefined);
  const time = new SystemMonotonicTime();
  const reason = await new Promise<string | undefined>((resolve) => {
    const options = {
      server: fixed(server),
      sentinels,
      keyPrefix,
      authorities: trusted && (() => trusted.current()),
    };
    const client = new RedisClient(options, {
      time,
      log: (_level, event, { reason: why } = {}) => {
        const isUp = event === 'redis_connected';
        if (isUp || event === 'redis_lost')
          void client.close().then(() => resolve(isUp ? undefined : String(why)));
      },
    });
    time.after(timeoutMs, () => void client.close().then(() => resolve('timedOut')));
  });
  if (reason === undefined) return ok(name, 'Redis answers, and lets us publish and subscribe.');
  const advice = REDIS_ADVICE[reason] ?? 'it does not answer as it should: see its own log';
  const effect = 'The service works without it, each replica alone.';
  return failed(name, `Redis cannot be used (${reason}): ${advice}. ${effect}`);
}

/** A smaller difference is that of a Date header, and of the network. */
const NOTICED_SKEW_MS = 3_000;

/** Compares our clock with the ones of the servers that the other checks reached. */
export function checkClock(skews: ReadonlyMap<string, number>): CheckResult {
  const name = 'clock';
  const [worst] = [...skews].sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  if (worst === undefined) return skipped(name, 'No server was reached whose clock could be compared.');
  const [server, skewMs] = worst;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const told = `The clock here is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead of'} that of ${server}`;
  const ntp = 'let both follow the same NTP servers';
  if (Math.abs(skewMs) > CLOCK_WINDOW_S * 1000)
    return failed(
      name,
      `${told}: apps get no access tokens where theirs differs by more than ${CLOCK_WINDOW_S} s; ${ntp}.`,
    );
  if (Math.abs(skewMs) > NOTICED_SKEW_MS) return warned(name, `${told}; ${ntp}.`);
  return ok(name, `The clock here agrees with that of ${[...skews.keys()].join(', ')}.`);
}
