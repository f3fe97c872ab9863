import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../time/clock';
import { StoreUnavailable } from '../../../errors/store-errors';
import { DomainError } from '../../../errors/domain-error';
import { UNATTENDED } from '../../../secrets/secret';
import type { SecretStore } from '../../../secrets/secret-store';
import { parseProject } from '../api/answers';
import type { ApiVersion } from '../versions/api-version';
import { ApiVersionProbe } from '../versions/version-probe';
import { InfisicalClient } from '../transport/infisical-client';
import {
  createInfisicalStores,
  DEFAULTS,
  type ConnectionOptions,
  type InfisicalOptions,
} from '../create-infisical-secret-store';
import type { LogEvent } from '../../../logging/log';
import { loginMethod, type LoginCredentials } from '../auth/login-method';
import { OTHER_ORGANIZATION } from '../projects/organization-check';
import { projectSlug } from '../projects/project-slug';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import { classifyFailure } from '../versions/calls';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { notReadyBecause } from '../operations';
import { AdminCalls, EXCESS, LEAST_ROLE, ownRole, SetupFailed, unlessFailed } from './admin-calls';

interface CheckOutcome {
  readonly apiVersion: string;
  /** One sentence for each right that is missing or too much; empty where every check passed. */
  readonly findings: readonly string[];
  readonly organizationId: string | undefined;
}

/** An organization admin may read this list; a member may not. */
const ALL_PROJECTS = '/api/v1/organization-admin/projects';

/** Makes the same calls as the service, in a project that is deleted afterwards. */
export async function checkIdentity(
  connection: ConnectionOptions,
  credentials: LoginCredentials,
  clock: Clock,
): Promise<CheckOutcome> {
  const client = new InfisicalClient({ ...DEFAULTS, ...connection }, new UpstreamRateLimits(clock));
  let lastFailure = '';
  const note: LogEvent = (_level, event, { call, reason } = {}) => {
    if (event === 'infisical_call_failed') lastFailure = explained(String(call), String(reason));
  };
  const { store } = createInfisicalStores({ ...connection, ...credentials }, clock, note);
  const owner = { user: `osp-setup-${randomBytes(5).toString('hex')}`, workspace: 'probe' };
  try {
    // A ping comes first: its errors describe best an unreachable server and refused credentials.
    await store.ping();
    const source = new ApiVersionProbe(client, DEFAULTS.requestTimeoutMs, clock, () => undefined);
    const apiVersion = await source.current();
    const login = loginMethod(client, () => source.current(), credentials, DEFAULTS.requestTimeoutMs);
    const { accessToken } = await login.logIn();
    const calls = new AdminCalls(client, accessToken);
    const findings: string[] = [];
    await exercise(store, owner).catch((error: unknown) => {
      // The probe project is deleted next, whatever failed.
      findings.push(lastFailure === '' ? wordsFor(error) : lastFailure);
    });
    const listed = await store.workspacesOf(owner.user, UNATTENDED).catch(() => []);
    const organizationId = await cleanUp(calls, apiVersion, { slug: projectSlug(owner), listed }, findings);
    findings.push(...(await excess(calls, organizationId, accessToken).catch(unanswered)));
    return { apiVersion: apiVersion.name, findings, organizationId };
  } catch (error: unknown) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const isElsewhere = error.message === OTHER_ORGANIZATION;
    throw new SetupFailed(`${isElsewhere ? '' : 'The identity cannot log in. '}${error.message}`);
  } finally {
    await store.close();
    client.close();
  }
}

async function exercise(store: SecretStore, owner: { user: string; workspace: string }): Promise<void> {
  for (const environment of ['prod', 'test'] as const) {
    const scope = { ...owner, environment };
    await store.create(scope, { name: 'probe', value: 'one' }, UNATTENDED);
    await store.update(scope, { name: 'probe', value: ' two ${X}' }, UNATTENDED);
    const { secret } = await store.retrieve(scope, 'probe', UNATTENDED);
    const { secrets } = await store.list(scope, UNATTENDED);
    if (secret.value !== ' two ${X}' || secrets.length !== 1)
      throw new SetupFailed('Infisical gives back another value than was stored.');
    await store.delete(scope, 'probe', UNATTENDED);
  }
}

/** Returns the failure as a finding, so that the earlier findings are reported too. */
function unanswered(error: unknown): readonly string[] {
  if (error instanceof SetupFailed) return [error.message];
  throw error;
}

/**
 * Deletes the probe project also after an earlier failure, since a create that failed may have been carried out.
 * Returns the organization, as the probe project shows it.
 * @param listed removing a user needs the rights to list and to delete projects
 */
async function cleanUp(
  calls: AdminCalls,
  { failures, routes }: ApiVersion,
  { slug, listed }: Readonly<{ slug: string; listed: readonly string[] }>,
  findings: string[],
): Promise<string | undefined> {
  const found = await unlessFailed(calls.ask('GET', routes.findProject.path, { slug }));
  const project = found?.status === 200 ? parseProject(found.body) : undefined;
  if (project === undefined) {
    const reason = found && classifyFailure(failures, 'findProject', found.status, found.body);
    if (reason !== 'notFound:project')
      findings.push(
        `It cannot be seen whether the project of this check is left: look for ${slug} and delete it.`,
      );
    return undefined;
  }
  if (!listed.includes(project.id))
    findings.push('It does not see its own projects in their list: deleted users would leave theirs behind.');
  const path = { projectId: project.id };
  const deleted = await unlessFailed(calls.ask('DELETE', routes.deleteProject.path, path));
  if (deleted?.status !== 200)
    findings.push(
      deleted === undefined
        ? `Its project could not be deleted, for Infisical did not answer; delete ${slug} by hand.`
        : `It may not delete its own project; delete ${slug} by hand.`,
    );
  return project.organizationId;
}

/** Returns the finding that the identity may read what a member may not, or has another role. */
async function excess(
  calls: AdminCalls,
  organizationId: string | undefined,
  accessToken: string,
): Promise<readonly string[]> {
  const all = await calls.ask('GET', ALL_PROJECTS);
  const role = organizationId === undefined ? undefined : await ownRole(calls, organizationId, accessToken);
  return all.status !== 200 && (role === undefined || role === LEAST_ROLE) ? [] : [`It ${EXCESS}`];
}

function wordsFor(error: unknown): string {
  const isOurs = error instanceof DomainError || error instanceof SetupFailed;
  return `A secret could not be kept${isOurs ? `: ${error.message}` : ', for an unexpected reason.'}`;
}

function explained(call: string, reason: string): string {
  const denied = reason === 'permissionDenied' || reason === 'notAMember';
  if (denied && (call === 'createProject' || call === 'findProject'))
    return `It may not create projects: give it the organization role ${LEAST_ROLE}.`;
  return denied ? `It lacks a right: ${call} is refused.` : `${call} failed (${reason}).`;
}

/** One thing that was looked at; there is no problem where all is well. */
interface InspectedPart {
  readonly problem?: string;
  /** Whether the service works all the same. */
  readonly isMinor?: boolean;
}

interface InfisicalInspection {
  /** In the order in which each needs the one before; what could not be looked at is missing. */
  readonly parts: Partial<Readonly<Record<'server' | 'login' | 'organization' | 'projects', InspectedPart>>>;
  readonly apiVersion?: string;
  /** What the server's own clock said, in milliseconds since the epoch. */
  readonly dateMs?: number | undefined;
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
  const { store } = createInfisicalStores(settings, clock);
  try {
    const versions = new ApiVersionProbe(client, timeoutMs, clock, () => undefined);
    const found = await attempt(async () => {
      const dateMs = await serverDateMs(client, timeoutMs);
      return { dateMs, apiVersion: (await versions.current()).name };
    });
    if ('problem' in found) return { parts: { server: found } };
    const loggedIn = await attempt(loginMethod(client, () => versions.current(), options, timeoutMs).logIn);
    if ('problem' in loggedIn) return { ...found.result, parts: { server: {}, login: loggedIn } };
    const parts = { server: {}, login: {} };
    const pinged = await attempt(() => store.ping());
    if ('problem' in pinged) {
      const part = pinged.problem === OTHER_ORGANIZATION ? 'organization' : 'server';
      return { ...found.result, parts: { ...parts, [part]: pinged } };
    }
    if (options.organizationId === undefined) return { ...found.result, parts };
    const [untold] = store.problems();
    const organization = untold === undefined ? {} : { problem: untold, isMinor: true };
    const projects = await rightToCreateProjects(client, loggedIn.result.accessToken, options.organizationId);
    return { ...found.result, parts: { ...parts, organization, projects } };
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

async function rightToCreateProjects(
  client: InfisicalClient,
  accessToken: string,
  organizationId: string,
): Promise<InspectedPart> {
  const calls = new AdminCalls(client, accessToken);
  const role = await unlessFailed(ownRole(calls, organizationId, accessToken));
  if (role === undefined) return { problem: ROLE_UNSEEN, isMinor: true };
  if (role === 'no-access')
    return { problem: `The identity may not create projects: give it the organization role ${LEAST_ROLE}.` };
  if (role === LEAST_ROLE) return {};
  return { problem: `The identity ${EXCESS}`, isMinor: true };
}
