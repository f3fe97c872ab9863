import { StoreUnavailable } from '../../../errors/store-errors';
import type { LogEvent } from '../../../logging/log';
import type { Clock } from '../../../time/clock';
import { loginMethod } from '../auth/login-method';
import {
  createInfisicalSecretStore,
  DEFAULTS,
  type InfisicalOptions,
} from '../create-infisical-secret-store';
import { notReadyBecause } from '../operations';
import { OTHER_ORGANIZATION } from '../projects/organization-check';
import { InfisicalClient } from '../transport/infisical-client';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { ApiVersionProbe } from '../versions/version-probe';
import { AdminCalls, EXCESS, LEAST_ROLE, ownRole, unlessFailed } from './admin-calls';

/** One thing that was looked at: `server`, `login`, `organization` or `projects`; without a sentence where all is well. */
interface InspectedPart {
  readonly problem?: string;
  /** Whether the service works all the same. */
  readonly isMinor?: boolean;
}

export interface InfisicalInspection {
  /** In the order in which each needs the one before; what could not be looked at is missing. */
  readonly parts: Partial<Readonly<Record<'server' | 'login' | 'organization' | 'projects', InspectedPart>>>;
  readonly apiVersion?: string;
  /** What the server's own clock said, in milliseconds since the epoch. */
  readonly dateMs?: number;
}

/**
 * Looks at the server and at the rights of the machine identity by reads alone, unlike checkIdentity(): it logs in twice, and
 * whether the identity may create projects is told by its role, where it may see that.
 * @param timeoutMs of one call
 */
export async function inspectInfisical(
  options: InfisicalOptions,
  clock: Clock,
  timeoutMs: number,
): Promise<InfisicalInspection> {
  const settings = { ...DEFAULTS, ...options, requestTimeoutMs: timeoutMs };
  const client = new InfisicalClient(settings, new UpstreamRateLimits(clock));
  const store = createInfisicalSecretStore(settings, clock);
  const log: LogEvent = () => undefined;
  try {
    const versions = new ApiVersionProbe(client, timeoutMs, clock, log);
    const found = await attempt(async () => {
      const dateMs = await serverDateMs(client, timeoutMs);
      return { dateMs, apiVersion: (await versions.current()).name };
    });
    if ('problem' in found) return { parts: { server: found } };
    const { apiVersion, dateMs } = found.result;
    const server = { apiVersion, ...(dateMs !== undefined && { dateMs }) };
    const loggedIn = await attempt(loginMethod(client, () => versions.current(), options, timeoutMs).logIn);
    if ('problem' in loggedIn) return { ...server, parts: { server: {}, login: loggedIn } };
    const pinged = await attempt(() => store.ping());
    const parts = { server: {}, login: {} };
    if ('problem' in pinged)
      return pinged.problem === OTHER_ORGANIZATION
        ? { ...server, parts: { ...parts, organization: pinged } }
        : { ...server, parts: { ...parts, server: pinged } };
    const [untold] = store.problems();
    const organization = untold === undefined ? {} : { problem: untold, isMinor: true };
    const projects = await rightToCreateProjects(client, loggedIn.result.accessToken, options.organizationId);
    return {
      ...server,
      parts: {
        ...parts,
        ...(options.organizationId !== undefined && { organization }),
        ...(projects !== undefined && { projects }),
      },
    };
  } finally {
    await store.close();
    client.close();
  }
}

async function attempt<T>(work: () => Promise<T>): Promise<{ result: T } | { problem: string }> {
  try {
    return { result: await work() };
  } catch (error: unknown) {
    if (error instanceof StoreUnavailable) return { problem: error.message };
    if (error instanceof InfisicalCallFailed) return { problem: notReadyBecause(error).message };
    throw error;
  }
}

/** Any answer has a date. */
async function serverDateMs(client: InfisicalClient, timeoutMs: number): Promise<number | undefined> {
  const path = '/api/status';
  const request = { call: 'setup', method: 'GET', pathTemplate: path, target: path, timeoutMs } as const;
  return (await client.send(request)).dateMs;
}

const ROLE_UNSEEN =
  'Infisical does not show the identity its own role, as with the organization role no-access: npm run infisical:setup -- --check knows whether it may create projects.';

/** Returns undefined where the organization is not known. */
async function rightToCreateProjects(
  client: InfisicalClient,
  accessToken: string,
  organizationId: string | undefined,
): Promise<InspectedPart | undefined> {
  if (organizationId === undefined) return undefined;
  const calls = new AdminCalls(client, accessToken);
  const role = await unlessFailed(ownRole(calls, organizationId, accessToken));
  if (role === undefined) return { problem: ROLE_UNSEEN, isMinor: true };
  if (role === 'no-access')
    return { problem: `The identity may not create projects: give it the organization role ${LEAST_ROLE}.` };
  if (role === LEAST_ROLE) return {};
  return { problem: `The identity ${EXCESS}`, isMinor: true };
}
