import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../time/clock';
import { StoreUnavailable } from '../../../errors/store-errors';
import { DomainError } from '../../../errors/domain-error';
import { UNATTENDED } from '../../../secrets/call-context';
import type { SecretStore, StoredWorkspace } from '../../../secrets/secret-store';
import { parseProject } from '../api/answers';
import type { ApiVersion } from '../versions/api-version';
import { ApiVersionProbe } from '../versions/version-probe';
import { InfisicalClient } from '../transport/infisical-client';
import {
  createInfisicalSecretStore,
  DEFAULTS,
  type ConnectionOptions,
} from '../create-infisical-secret-store';
import type { LogEvent } from '../../../logging/log';
import { loginMethod, type LoginCredentials } from '../auth/login-method';
import { OTHER_ORGANIZATION } from '../projects/organization-check';
import { projectSlug } from '../projects/project-slug';
import { UpstreamRateLimits } from '../transport/upstream-rate-limits';
import { classifyFailure } from '../versions/calls';
import {
  AdminCalls,
  type AdminAnswer,
  EXCESS,
  LEAST_ROLE,
  ownRole,
  SetupFailed,
  unlessFailed,
} from './admin-calls';

export interface CheckOutcome {
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
  const store = createInfisicalSecretStore({ ...connection, ...credentials }, clock, note);
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
  apiVersion: ApiVersion,
  { slug, listed }: Readonly<{ slug: string; listed: readonly StoredWorkspace[] }>,
  findings: string[],
): Promise<string | undefined> {
  const found = await unlessFailed(calls.ask('GET', apiVersion.routes.findProject.path, { slug }));
  const project = found?.status === 200 ? parseProject(found.body) : undefined;
  if (project === undefined) {
    if (!isMissing(apiVersion, found))
      findings.push(
        `It cannot be seen whether the project of this check is left: look for ${slug} and delete it.`,
      );
    return undefined;
  }
  if (!listed.some(({ id }) => id === project.id))
    findings.push('It does not see its own projects in their list: deleted users would leave theirs behind.');
  const path = { projectId: project.id };
  const deleted = await unlessFailed(calls.ask('DELETE', apiVersion.routes.deleteProject.path, path));
  if (deleted?.status !== 200)
    findings.push(
      deleted === undefined
        ? `Its project could not be deleted, for Infisical did not answer; delete ${slug} by hand.`
        : `It may not delete its own project; delete ${slug} by hand.`,
    );
  return project.organizationId;
}

function isMissing({ failures }: ApiVersion, answer: AdminAnswer | undefined): boolean {
  if (answer === undefined) return false;
  return classifyFailure(failures, 'findProject', answer.status, answer.body) === 'notFound:project';
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
