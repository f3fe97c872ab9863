import { type Clock, type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import { ApiVersionProbe, fixedApiVersion } from './versions/version-probe';
import { InfisicalApi } from './api/infisical-api';
import { InfisicalClient } from './transport/infisical-client';
import { DEFAULTS, type InfisicalOptions } from './infisical-options';
import type { LogEvent } from '../../logging/log';
import { InfisicalDeletionJobStorage } from './infisical.deletion-job-storage';
import { InfisicalSecretStore, type InfisicalStoreDeps } from './infisical.secret-store';
import { ListedLocations } from './listed-locations';
import { loginMethod } from './auth/login-method';
import { MachineSession } from './auth/machine-session';
import { Operations } from './operations';
import { KnownProjects } from './projects/known-projects';
import { OrganizationCheck } from './projects/organization-check';
import { PingProbe } from './ping-probe';
import { ProjectDirectory } from './projects/project-directory';
import { DELETION_JOBS_PROJECT, type ProjectNaming, WORKSPACE_PROJECTS } from './projects/project-slug';
import { UpstreamRateLimits } from './transport/upstream-rate-limits';
import { RetryBudget } from './transport/retrying';
import { ScopeReader } from './scope-reader';
import { SecretWriter } from './secret-writer';
import { UserProjects } from './projects/user-projects';
import type { DeletionJobStorage } from '../../user-deprovisioning/deletion-job-storage';

/** The minimum time for a call: a write on the slowest server takes 0.3 s, four at once about a second. */
const MIN_CALL_MS = 1_000;
const MIN_CALL_SHARE = 1 / 20;

/** The adapters of one Infisical, which share connections, session and rate limits. */
export interface InfisicalStores {
  readonly store: InfisicalSecretStore;
  readonly deletionJobs: DeletionJobStorage;
}

/** Builds the store of secrets alone, as createInfisicalStores() does. */
export function createInfisicalSecretStore(
  ...parameters: Parameters<typeof createInfisicalStores>
): InfisicalSecretStore {
  return createInfisicalStores(...parameters).store;
}

/**
 * Builds the adapters. Nothing is sent before the first operation or ping.
 * @param clock measures the age of what outlives an operation; `time` is used for deadlines
 * @throws Error for an unusable address
 */
export function createInfisicalStores(
  options: InfisicalOptions,
  clock: Clock,
  log: LogEvent = () => undefined,
  time: MonotonicTime = new SystemMonotonicTime(),
): InfisicalStores {
  const settings = { ...DEFAULTS, ...options };
  const limits = new UpstreamRateLimits(time);
  const client = new InfisicalClient(settings, limits);
  const apiVersions =
    settings.apiVersion === undefined
      ? new ApiVersionProbe(client, settings.requestTimeoutMs, clock, log)
      : fixedApiVersion(settings.apiVersion);
  const apiVersion = () => apiVersions.current();
  const login = loginMethod(client, apiVersion, settings, settings.requestTimeoutMs);
  const session = new MachineSession(login, clock, log);
  const api = new InfisicalApi(client, session, time, {
    apiVersions,
    requestTimeoutMs: settings.requestTimeoutMs,
    budget: new RetryBudget(clock),
    minCallMs: Math.min(MIN_CALL_MS, settings.operationTimeoutMs * MIN_CALL_SHARE),
  });
  const organization = new OrganizationCheck(api, settings.organizationId, clock, log);
  const probe = new PingProbe(api, organization, { clock, time, log });
  const known = new KnownProjects(settings.maxKnownProjects);
  const depsFor = (naming: ProjectNaming): InfisicalStoreDeps => {
    const projects = new ProjectDirectory(api, settings, organization, log, known, naming);
    const reader = new ScopeReader(api, projects, new ListedLocations(clock), log);
    const writer = new SecretWriter(api, reader, settings.operationTimeoutMs, log);
    const users = new UserProjects(api, projects, log);
    return { projects, reader, writer, users, probe, close: () => client.close() };
  };
  const operations = new Operations(settings.operationTimeoutMs, time, log, settings.scopeLock);
  settings.observer?.opened({
    apiVersion: () => apiVersions.known()?.name,
    sessionEndsAtMs: () => session.endsAtMs,
    callsWaiting: () => limits.waiting,
    writes: () => operations.writes,
  });
  const store = (naming: ProjectNaming) => new InfisicalSecretStore(depsFor(naming), operations, log);
  return {
    store: store(WORKSPACE_PROJECTS),
    deletionJobs: new InfisicalDeletionJobStorage(store(DELETION_JOBS_PROJECT)),
  };
}
