import { stat } from 'node:fs/promises';
import { editDistance } from '../../authz/manifest-check';
import type { EnvironmentVariables } from '../../config/environment-reader';
import type { SettingDefinition } from '../../config/setting-groups';
import { SETTING_DEFINITIONS } from '../../config/setting-definitions';
import { InvalidSettings, loadSettings, type Settings } from '../../config/settings';
import { withDevelopmentCredentials } from '../../development/development';
import { type CheckResult, failed, ok, runChecks, skipped, warned } from './checks';
import { checkCluster } from './cluster-checks';
import { checkClock, checkInfisical, checkLldap, checkRedis } from './dependency-checks';
import { checkAudit, checkCertificates, checkDisk, checkNode } from './machine-checks';

/** The calls of a check end before the check does, so that it can say why. */
const SHARE_OF_A_CALL = 0.8;
const NEED_SETTINGS = ['infisical', 'cluster', 'lldap', 'redis', 'certificates', 'disk', 'audit', 'clock'];

/** Runs every check of this installation. @param timeoutMs for each of them */
export async function examine(env: EnvironmentVariables, timeoutMs: number): Promise<readonly CheckResult[]> {
  let settings: Settings | undefined;
  const configuration = async (): Promise<readonly CheckResult[]> => {
    const checked = await checkConfiguration(env);
    settings = checked.settings;
    return checked.results;
  };
  const results = await runChecks(
    [
      { name: NAME, run: configuration },
      { name: 'node', run: () => checkNode(env) },
    ],
    timeoutMs,
  );
  if (settings !== undefined) return [...results, ...(await examineSettings(settings, env, timeoutMs))];
  return [
    ...results,
    ...NEED_SETTINGS.map((name) => skipped(name, 'Not checked, since the configuration is not valid.')),
  ];
}

async function examineSettings(
  settings: Settings,
  env: EnvironmentVariables,
  timeoutMs: number,
): Promise<readonly CheckResult[]> {
  const skews = new Map<string, number>();
  const noteSkew = (server: string, skewMs: number): void => void skews.set(server, skewMs);
  const callMs = timeoutMs * SHARE_OF_A_CALL;
  const results = await runChecks(
    [
      { name: 'infisical', run: () => checkInfisical(settings, callMs, noteSkew) },
      { name: 'cluster', run: () => checkCluster(settings, callMs, noteSkew) },
      { name: 'lldap', run: () => checkLldap(settings, callMs, noteSkew) },
      { name: 'redis', run: () => checkRedis(settings, callMs) },
      { name: 'certificates', run: () => checkCertificates(settings, env) },
      { name: 'disk', run: () => checkDisk(settings) },
      { name: 'audit', run: () => checkAudit(settings) },
    ],
    timeoutMs,
  );
  return [...results, checkClock(skews)];
}

const NAME = 'configuration';
const DEFINITIONS = Object.entries<SettingDefinition>(SETTING_DEFINITIONS);
const SETTINGS: ReadonlySet<string> = new Set(DEFINITIONS.map(([name]) => name));
const KNOWN: ReadonlySet<string> = new Set(
  DEFINITIONS.flatMap(([name, { secret }]) => (secret === true ? [name, `${name}_FILE`] : [name])),
);

/**
 * Reads every setting as the service does. On a laptop on which `npm start` ran before, its credentials count.
 * @returns no settings where the service would not start with them
 */
async function checkConfiguration(
  env: EnvironmentVariables,
): Promise<{ readonly results: readonly CheckResult[]; readonly settings?: Settings }> {
  const strangers = unknownVariables(env).map((sentence) => warned(NAME, sentence));
  const irregular = await irregularFiles(env);
  if (irregular.length > 0)
    return { results: [...irregular.map((sentence) => failed(NAME, sentence)), ...strangers] };
  const given = DEFINITIONS.map(([name]) => name).filter((name) => isGiven(env, name));
  try {
    const settings = loadSettings(withDevelopmentCredentials(env, false).env);
    const told = given.length === 0 ? 'none is set' : `set are ${given.join(', ')}`;
    return {
      results: [ok(NAME, `All ${SETTINGS.size} settings are valid; ${told}.`), ...strangers],
      settings,
    };
  } catch (error: unknown) {
    if (!(error instanceof InvalidSettings)) throw error;
    const hint = given.every((name) => name === 'NODE_ENV')
      ? [warned(NAME, 'No setting of the service is set here: npm start makes credentials for a laptop.')]
      : [];
    const problems = error.problems.map((problem) => failed(NAME, `${problem}.`));
    return { results: [...problems, ...hint, ...strangers] };
  }
}

function isGiven(env: EnvironmentVariables, name: string): boolean {
  return [name, `${name}_FILE`].some((variable) => KNOWN.has(variable) && (env[variable] ?? '') !== '');
}

/** A pipe in the place of a file would hold the process for ever, since settings are read at once. */
async function irregularFiles(env: EnvironmentVariables): Promise<readonly string[]> {
  const named = [...KNOWN].filter((name) => name.endsWith('_FILE') && (env[name] ?? '') !== '');
  const sentences = await Promise.all(
    named.map(async (name) => {
      // A file that is missing is reported with the settings, and AUDIT_FILE may be made later.
      const file = await stat(env[name] ?? '').catch(() => undefined);
      return file === undefined || file.isFile() ? [] : [`${name} names something that is no regular file.`];
    }),
  );
  return sentences.flat();
}

/** Variables that Kubernetes sets for each Service of the namespace: REDIS_PORT, INFISICAL_SERVICE_HOST. */
const OF_A_SERVICE = /_(SERVICE_(HOST|PORT)|PORT)(_\w+)?$/;
/** Words with which no other program's variables begin. */
const OURS =
  /^(INFISICAL|GRANTS?|AUDIT|QUOTA|RATE_LIMIT|USER_TOKEN|ACCESS_TOKEN|LLDAP|PROVIDER|PREDECESSOR|STATIC_GRANTS?|SYSTEM_SERVER)_/;
/** Of OpenSSL, and near TLS_CERT_FILE. */
const OF_OTHERS: ReadonlySet<string> = new Set(['SSL_CERT_FILE']);
/** Of other commands of this project. */
const OF_COMMANDS = /^(INFISICAL_ADMIN_|INFISICAL_REVIEWER_|AUDIT_KEY_)/;

/** Returns a sentence for each variable that seems to be meant for the service and is no setting, without its value. */
function unknownVariables(env: EnvironmentVariables): readonly string[] {
  const strangers = Object.keys(env).filter(
    (name) =>
      !KNOWN.has(name) &&
      !OF_OTHERS.has(name) &&
      !OF_A_SERVICE.test(name) &&
      !OF_COMMANDS.test(name) &&
      /^[A-Z][A-Z0-9_]*$/.test(name),
  );
  return strangers.sort().flatMap((name) => {
    const setting = name.replace(/_FILE$/, '');
    if (SETTINGS.has(setting))
      return [`${name} has no effect: only secret settings may be files; set ${setting}.`];
    const near = nearestTo(name);
    if (near !== undefined) return [`${name} is no setting; did you mean ${near}?`];
    return OURS.test(name) ? [`${name} is no setting, and has no effect.`] : [];
  });
}

/** Shorter names have neighbours by chance: HOST and HOME. */
const MIN_LENGTH = 6;
const MAX_DISTANCE = 2;

function nearestTo(name: string): string | undefined {
  const plain = name.replace(/^(OLARES_SECRETS?|OSP)_/, '');
  if (plain !== name && KNOWN.has(plain)) return plain;
  const [nearest] = [...KNOWN]
    .filter((known) => known.length >= MIN_LENGTH && Math.abs(known.length - name.length) <= MAX_DISTANCE)
    .map((known) => ({ known, distance: editDistance(name, known) }))
    .filter(({ distance }) => distance <= MAX_DISTANCE)
    .sort((one, other) => one.distance - other.distance);
  return nearest?.known;
}
