import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type EnvironmentVariables, fileErrorCode } from '../config/environment-reader';
import { SETTING_DEFINITIONS } from '../config/setting-definitions';
import { InvalidSettings } from '../config/settings';

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const EXAMPLE_MANIFEST = join(__dirname, '../../examples/apps/otmoiclp/OlaresManifest.yaml');

/** The random keys of one laptop, made at the first start and stored in `<DATA_DIR>/development` with mode 0600. */
const GENERATED_KEYS = ['MASTER_KEY', 'USER_TOKEN_SECRET', 'ACCESS_TOKEN_KEY'] as const;

export interface Development {
  /** The environment with a `…_FILE` for every key that was missing. */
  readonly env: EnvironmentVariables;
  /** Absolute path of `<DATA_DIR>/development`. */
  readonly folder: string;
  /** True where all keys and apps were generated here, so that the start banner may act as the example app and user. */
  readonly selfContained: boolean;
}

/**
 * Generates the settings that a laptop lacks. With NODE_ENV=production, or on an address that others reach, it generates
 * nothing, so that missing settings are reported.
 * @param generates false takes what an earlier start has generated, or nothing where a part of it is missing
 * @throws InvalidSettings where the folder cannot be written
 */
export function withDevelopmentCredentials(env: EnvironmentVariables, generates = true): Development {
  try {
    return filledIn(env, generates);
  } catch (error: unknown) {
    throw new InvalidSettings([`DATA_DIR cannot hold the development credentials (${fileErrorCode(error)})`]);
  }
}

function filledIn(env: EnvironmentVariables, generates: boolean): Development {
  const host = env['HOST'] || SETTING_DEFINITIONS.HOST.default;
  const folder = resolve(env['DATA_DIR'] || SETTING_DEFINITIONS.DATA_DIR.default, 'development');
  if (env['NODE_ENV'] === 'production' || !LOOPBACK.has(host)) return { env, folder, selfContained: false };
  const filled: Record<string, string | undefined> = { ...env };
  // An empty variable is a mistake to be reported and not a missing key.
  const missing = GENERATED_KEYS.filter(
    (name) => env[name] === undefined && env[`${name}_FILE`] === undefined,
  );
  const keys = missing.filter((name) => name !== 'MASTER_KEY' || !env['INFISICAL_URL']);
  const exampleGrants = !env['GRANTS_DIR'] && env['GRANTS_SOURCE'] !== 'kubernetes';
  const files = [
    ...keys.map((name) => keyFileIn(folder, name)),
    ...(exampleGrants ? [exampleAppIn(folder)] : []),
  ];
  if (!generates && !files.every((file) => existsSync(file))) return { env, folder, selfContained: false };
  for (const name of keys) filled[`${name}_FILE`] = keyFile(folder, name);
  if (exampleGrants) filled['GRANTS_DIR'] = exampleApps(folder);
  const ownIdentities = missing.includes('USER_TOKEN_SECRET') && missing.includes('ACCESS_TOKEN_KEY');
  const selfContained = ownIdentities && exampleGrants;
  // The only user is the one at this laptop, and nobody else has that user's token.
  if (selfContained && env['SETTINGS_ROUTES'] === undefined) filled['SETTINGS_ROUTES'] = 'user-token';
  return { env: filled, folder, selfContained };
}

function keyFileIn(folder: string, name: string): string {
  return join(folder, `${name.toLowerCase().replaceAll('_', '-')}.key`);
}

function keyFile(folder: string, name: string): string {
  const path = keyFileIn(folder, name);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  }
  return path;
}

function exampleAppIn(folder: string): string {
  return join(folder, 'apps/otmoiclp/app.yaml');
}

/** Installs the example app: the real manifest of otmoiclp, for user alice, with a random app key and secret. */
function exampleApps(folder: string): string {
  const credentials = exampleAppIn(folder);
  const app = dirname(credentials);
  if (!existsSync(credentials)) {
    mkdirSync(app, { recursive: true, mode: 0o700 });
    copyFileSync(EXAMPLE_MANIFEST, join(app, 'OlaresManifest.yaml'));
    writeFileSync(credentials, appCredentials('otmoiclp', 'alice'), { mode: 0o600 });
  }
  return dirname(app);
}

/** Returns the `app.yaml` of an app that is installed for a user, with a random app key and secret. */
export function appCredentials(app: string, user: string): string {
  const appKey = `bytetrade_${app}_${randomBytes(4).readUInt32BE()}`;
  return [`user: '${user}'`, `appKey: ${appKey}`, `appSecret: '${randomBytes(8).toString('hex')}'`, ''].join(
    '\n',
  );
}
