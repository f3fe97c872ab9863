import { type Clock, type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import { ApiVersionProbe, fixedApiVersion } from './versions/version-probe';
import { InfisicalApi, RetryBudget } from './api/infisical-api';
import { InfisicalClient } from './transport/infisical-client';
import type { LogEvent } from '../../logging/log';
import { InfisicalSecretStore, type InfisicalStoreDeps } from './infisical.secret-store';
import { ListedLocations } from './listed-locations';
import { loginMethod, type LoginCredentials } from './auth/login-method';
import { MachineSession } from './auth/machine-session';
import { Operations, PingProbe } from './operations';
import { ProjectDirectory } from './projects/project-directory';
import { OrganizationCheck } from './projects/organization-check';
import { DELETION_JOBS_PROJECT, type ProjectNaming, WORKSPACE_PROJECTS } from './projects/project-slug';
import { UpstreamRateLimits } from './transport/upstream-rate-limits';
import { ScopeReader } from './scope-reader';
import { SecretWriter } from './secret-writer';
import { UserProjects } from './projects/user-projects';
import { DeletionJobStorage, type StoredDeletionJob } from '../../user-deprovisioning/deletion-jobs';
import { SecretAlreadyExists, SecretNotFound, StoreUnavailable } from '../../errors/store-errors';
import type { SecretStore } from '../../secrets/secret-store';
import { type SecretScope, UNATTENDED } from '../../secrets/secret';
import type { InfisicalObserver, ApiVersionName } from './versions/calls';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../concurrency/keyed-work';
import type { RouteOptions } from './transport/transport-route';

export type InfisicalOptions = LoginCredentials & ConnectionOptions;

export interface ConnectionOptions extends Partial<RouteOptions> {
  /** http or https; a path prefix is kept. */
  readonly url: string;
  /** Projects of other organizations are refused. */
  readonly organizationId?: string;
  /** The API version of the server at `url`; detected by default. */
  readonly apiVersion?: ApiVersionName;
  /** The time of one call to Infisical, its body included. */
  readonly requestTimeoutMs?: number;
  /** The time of one operation of the store: waiting, its calls and their retries. */
  readonly operationTimeoutMs?: number;
  /** The maximum size of one answer; answer-body.ts bounds all together. */
  readonly maxAnswerBytes?: number;
  readonly maxKnownProjects?: number;
  readonly observer?: InfisicalObserver | undefined;
  /** Needed where other replicas write to the same Infisical. */
  readonly scopeLock?: ScopeLock;
}

export const DEFAULTS = {
  requestTimeoutMs: 8_000,
  operationTimeoutMs: 20_000,
  maxConnections: 16,
  maxAnswerBytes: 8 * 1024 * 1024,
  maxKnownProjects: 10_000,
  scopeLock: NO_OTHER_REPLICA,
} as const satisfies Partial<InfisicalOptions>;

/** The minimum time for a call: a write on the slowest server takes 0.3 s, four at once about a second. */
const MIN_CALL_MS = 1_000;
const MIN_CALL_SHARE = 1 / 20;
/** A read that had this share of the longest time had as much as any: where an operation is shorter than a request, looking for the project takes some. */
const FULL_READ_SHARE = 9 / 10;

/**
 * Builds the adapters of one Infisical, which share connections, session and rate limits. Nothing is sent before the first operation or ping.
 * @param clock measures the age of what outlives an operation; `time` is used for deadlines
 * @throws Error for an unusable address
 */
export function createInfisicalStores(
  options: InfisicalOptions,
  clock: Clock,
  log: LogEvent = () => undefined,
  time: MonotonicTime = new SystemMonotonicTime(),
): { readonly store: InfisicalSecretStore; readonly deletionJobs: DeletionJobStorage } {
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
  const depsFor = (naming: ProjectNaming): InfisicalStoreDeps => {
    const projects = new ProjectDirectory(api, organization, log, naming, settings.maxKnownProjects);
    const locations = new ListedLocations(clock);
    const fullReadMs = Math.min(settings.requestTimeoutMs, settings.operationTimeoutMs) * FULL_READ_SHARE;
    const reader = new ScopeReader(api, projects, locations, fullReadMs, log);
    const writer = new SecretWriter(api, reader, locations, settings.operationTimeoutMs, log);
    const users = new UserProjects(api, organization, projects, log);
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

/** Whichever user and workspace is named, the store's only project is the one of the deletion jobs. */
const JOBS: SecretScope = { user: '', workspace: 'deletion-jobs', environment: 'prod' };

/**
 * Stores deletion jobs as shared secrets of a project of their own: the name is the id, the value the text. They are neither cached nor
 * held back by the circuit breaker of the secrets: events are rare, come one after the other, and must not be decided by old data.
 */
class InfisicalDeletionJobStorage extends DeletionJobStorage {
  /** @param store of which every scope is in the project of the deletion jobs */
  constructor(private readonly store: SecretStore) {
    super();
  }

  async list(): Promise<readonly StoredDeletionJob[]> {
    const { secrets, unreadable } = await this.store.list(JOBS, UNATTENDED);
    if (unreadable !== undefined) throw new StoreUnavailable();
    return secrets.map(({ name, value }) => ({ id: name, text: value }));
  }

  create({ id, text }: StoredDeletionJob): Promise<void> {
    return this.store.create(JOBS, { name: id, value: text }, UNATTENDED).catch(unless(SecretAlreadyExists));
  }

  update({ id, text }: StoredDeletionJob): Promise<void> {
    return this.store.update(JOBS, { name: id, value: text }, UNATTENDED).catch(unless(SecretNotFound));
  }

  delete(id: string): Promise<void> {
    return this.store.delete(JOBS, id, UNATTENDED).catch(unless(SecretNotFound));
  }
}

/** Returns what lets this failure of a write pass, and no other. */
function unless(harmless: typeof SecretAlreadyExists | typeof SecretNotFound): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof harmless)) throw error;
  };
}
