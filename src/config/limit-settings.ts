import type { EnvironmentReader } from './environment-reader';
import type { SettingName } from './setting-definitions';

interface RateSetting {
  readonly perSecond: number;
  readonly burst: number;
}

/** An absent rate does not limit. */
interface RateSettings {
  readonly read?: RateSetting;
  readonly write?: RateSetting;
}

export interface LimitSettings {
  readonly rates: { readonly app: RateSettings; readonly user: RateSettings };
  readonly maxInFlight: number;
  /** Undefined where the event loop's delay is not limited. */
  readonly maxLoopDelayMs?: number;
}

/** `<per second>` or `<per second>:<burst>`; the rate may be a fraction. */
const RATE = /^(\d{1,6}(?:\.\d{1,3})?)(?::(\d{1,6}))?$/;

export function limitSettings(read: EnvironmentReader): LimitSettings {
  const maxLoopDelayMs = read.integer('MAX_EVENT_LOOP_DELAY_MS', 0, 60_000);
  return {
    rates: {
      app: rates(read, 'RATE_LIMIT_APP_READS', 'RATE_LIMIT_APP_WRITES'),
      user: rates(read, 'RATE_LIMIT_USER_READS', 'RATE_LIMIT_USER_WRITES'),
    },
    maxInFlight: read.integer('MAX_IN_FLIGHT', 4, 100_000),
    ...(maxLoopDelayMs > 0 && { maxLoopDelayMs }),
  };
}

function rates(read: EnvironmentReader, ofReads: SettingName, ofWrites: SettingName): RateSettings {
  const [reads, writes] = [rateOf(read, ofReads), rateOf(read, ofWrites)];
  return { ...(reads !== undefined && { read: reads }), ...(writes !== undefined && { write: writes }) };
}

/** Returns undefined for a rate of 0. Without a stated burst it is what two seconds allow. */
function rateOf(read: EnvironmentReader, name: SettingName): RateSetting | undefined {
  const [matched, rate = '', burst] = RATE.exec(read.text(name) ?? '') ?? [];
  const perSecond = Number(rate);
  const atOnce = burst === undefined ? Math.max(1, Math.ceil(2 * perSecond)) : Number(burst);
  if (matched === undefined || atOnce < 1 || (perSecond === 0 && burst !== undefined)) {
    read.problem(name, 'must be <per second> or <per second>:<at once>, such as 200:400, or 0');
    return undefined;
  }
  return perSecond === 0 ? undefined : { perSecond, burst: atOnce };
}

interface QuotaSetting {
  /** Infinity where there is no limit. */
  readonly secrets: number;
  readonly bytes: number;
}

/** The quota of one workspace and environment, and that of one user. */
export interface QuotaSettings {
  readonly workspace: QuotaSetting;
  readonly user: QuotaSetting;
}

const MEBIBYTE = 1_048_576;

export function quotaSettings(read: EnvironmentReader): QuotaSettings {
  return {
    workspace: quota(read, 'QUOTA_WORKSPACE_SECRETS', 'QUOTA_WORKSPACE_MIB'),
    user: quota(read, 'QUOTA_USER_SECRETS', 'QUOTA_USER_MIB'),
  };
}

function quota(read: EnvironmentReader, ofSecrets: SettingName, ofMebibytes: SettingName): QuotaSetting {
  const secrets = read.integer(ofSecrets, 0, 100_000_000);
  const mebibytes = read.integer(ofMebibytes, 0, 1_000_000);
  return { secrets: secrets || Infinity, bytes: mebibytes * MEBIBYTE || Infinity };
}
