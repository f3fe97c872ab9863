import type { EnvironmentVariables } from '../../config/environment-reader';
import type { Settings } from '../../config/settings';
import { type CheckResult, runChecks, skipped } from './checks';
import { checkCluster } from './cluster-checks';
import { checkConfiguration } from './configuration-checks';
import { checkClock, checkInfisical, checkLldap, checkRedis } from './dependency-checks';
import { checkAudit, checkCertificates, checkDisk, checkNode } from './machine-checks';

/** The calls of a check end before the check does, so that it can say why. */
const SHARE_OF_A_CALL = 0.8;
const NEED_SETTINGS = ['infisical', 'cluster', 'lldap', 'redis', 'certificates', 'disk', 'audit', 'clock'];

/** Runs every check of this installation. @param timeoutMs for each of them */
export async function examine(env: EnvironmentVariables, timeoutMs: number): Promise<readonly CheckResult[]> {
  let settings: Settings | undefined;
  const configuration = await runChecks(
    [
      {
        name: 'configuration',
        run: async () => {
          const checked = await checkConfiguration(env);
          settings = checked.settings;
          return checked.results;
        },
      },
      { name: 'node', run: () => checkNode(env) },
    ],
    timeoutMs,
  );
  if (settings === undefined)
    return [
      ...configuration,
      ...NEED_SETTINGS.map((name) => skipped(name, 'Not checked, since the configuration is not valid.')),
    ];
  return [...configuration, ...(await examineSettings(settings, env, timeoutMs))];
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
