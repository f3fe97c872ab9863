import type { EnvironmentReader } from './environment-reader';
import type { SettingName } from './setting-definitions';

export interface QuotaSetting {
  /** Infinity: there is no limit. */
  readonly secrets: number;
  readonly bytes: number;
}

/** In one workspace and environment, and of one user. */
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
