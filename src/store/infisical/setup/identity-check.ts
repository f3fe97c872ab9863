import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../clock/clock';
import { StoreUnavailable } from '../../../errors/store-errors';
import { DomainError } from '../../../errors/domain-error';
import type { SecretStore, StoredWorkspace } from '../../../secrets/secret-store';
import { parseProject } from '../answers';
import type { Dialect } from '../dialect';
import { DialectProbe } from '../dialect-probe';
import { InfisicalClient } from '../infisical-client';
import { createInfisicalSecretStore } from '../create-infisical-secret-store';
import { DEFAULTS, type ConnectionOptions, type Log } from '../infisical-options';
import { loginMethod, type Credentials } from '../login-method';
import { identityIn, OTHER_ORGANIZATION } from '../organization-check';
import { projectSlug } from '../project-slug';
import { RateLimits } from '../rate-limits';
import { classifyFailure } from '../failure-reason';
import { AdminCalls, type AdminAnswer } from './admin-calls';
import { LEAST_ROLE, membershipsOf } from './machine-identity';
import { SetupFailed } from './setup-failed';

export interface CheckOutcome {
  readonly dialect: string;
  /** In plain words, what is missing or too much; none means that all is well. */
  readonly findings: readonly string[];
  readonly organizationId: string | undefined;
}

/** Whoever is an organization admin may read this list, and a member may not. */
const ALL_PROJECTS = '/api/v1/organization-admin/projects';

/** Does what the service does, as the service does it, in a project that is deleted afterwards. */
export async function checkIdentity(
  connection: ConnectionOptions,
  credentials: Credentials,
  clock: Clock,
): Promise<CheckOutcome> {
  const client = new InfisicalClient({ ...DEFAULTS, ...connection }, new RateLimits(clock));
  let lastFailure = '';
  const note: Log = (event, { call, reason }) => {
    if (event === 'infisical.call.failed') lastFailure = explained(`${call}`, `${reason}`);
  };
  const store = createInfisicalSecretStore({ ...connection, ...credentials }, clock, note);
  const place = { user: `osp-setup-${randomBytes(5).toString('hex')}`, workspace: 'probe' };
  try {
    // Readiness has the best words for a server that does not answer and for credentials that it refuses.
    await store.ping();
    const source = new DialectProbe(client, DEFAULTS.requestTimeoutMs, clock, () => undefined);
    const dialect = await source.current();
    const { logIn } = loginMethod(
      client,
      () => Promise.resolve(dialect),
      credentials,
      DEFAULTS.requestTimeoutMs,
    );
    const { accessToken } = await logIn();
    const calls = new AdminCalls(client, accessToken);
    const findings: string[] = [];
    await exercise(store, place).catch((error: unknown) => {
      // Whatever it was, the probe project is deleted next.
      findings.push(lastFailure === '' ? wordsFor(error) : lastFailure);
    });
    const listed = await store.workspacesOf(place.user).catch(() => []);
    const organizationId = await cleanUp(calls, dialect, { slug: projectSlug(place), listed }, findings);
    findings.push(...(await excess(calls, organizationId, accessToken).catch(unanswered)));
    return { dialect: dialect.name, findings, organizationId };
  } catch (error: unknown) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const isElsewhere = error.message === OTHER_ORGANIZATION;
    throw new SetupFailed(`${isElsewhere ? '' : 'The identity cannot log in. '}${error.message}`);
  } finally {
    await store.close();
    client.close();
  }
}

async function exercise(store: SecretStore, place: { user: string; workspace: string }): Promise<void> {
  for (const environment of ['prod', 'test'] as const) {
    const scope = { ...place, environment };
    await store.create(scope, { name: 'probe', value: 'one' });
    await store.update(scope, { name: 'probe', value: ' two ${X}' });
    const [retrieved, listed] = [await store.retrieve(scope, 'probe'), await store.list(scope)];
    if (retrieved.value !== ' two ${X}' || listed.length !== 1)
      throw new SetupFailed('Infisical gives back another value than was stored.');
    await store.delete(scope, 'probe');
  }
}

/** What the removal of a user needs: to see its projects in their list, and to delete them. */
interface Probe {
  readonly slug: string;
  readonly listed: readonly StoredWorkspace[];
}

/** What was found before is told all the same. */
function unanswered(error: unknown): readonly string[] {
  if (error instanceof SetupFailed) return [error.message];
  throw error;
}

/**
 * Looks whatever went wrong before: also a create that failed may have been carried out.
 * @returns the organization, as the probe project shows it
 */
async function cleanUp(
  calls: AdminCalls,
  dialect: Dialect,
  { slug, listed }: Probe,
  findings: string[],
): Promise<string | undefined> {
  const found = await answered(calls.ask('GET', dialect.routes.findProject.path, { slug }));
  const project = found?.status === 200 ? parseProject(found.body) : undefined;
  if (project === undefined) {
    if (!isMissing(dialect, found))
      findings.push(
        `It cannot be seen whether the project of this check is left: look for ${slug} and delete it.`,
      );
    return undefined;
  }
  if (!listed.some(({ id }) => id === project.id))
    findings.push('It does not see its own projects in their list: deleted users would leave theirs behind.');
  const path = { projectId: project.id };
  const deleted = await answered(calls.ask('DELETE', dialect.routes.deleteProject.path, path));
  if (deleted?.status !== 200)
    findings.push(
      deleted === undefined
        ? `Its project could not be deleted, for Infisical did not answer; delete ${slug} by hand.`
        : `It may not delete its own project; delete ${slug} by hand.`,
    );
  return project.organizationId;
}

async function answered(asked: Promise<AdminAnswer>): Promise<AdminAnswer | undefined> {
  return asked.catch((error: unknown) => {
    if (error instanceof SetupFailed) return undefined;
    throw error;
  });
}

function isMissing({ failures }: Dialect, answer: AdminAnswer | undefined): boolean {
  if (answer === undefined) return false;
  return classifyFailure(failures, 'findProject', answer.status, answer.body) === 'notFound:project';
}

/** A member may read who else is there; what it is itself is in that list. */
async function excess(
  calls: AdminCalls,
  organizationId: string | undefined,
  accessToken: string,
): Promise<readonly string[]> {
  const all = await calls.ask('GET', ALL_PROJECTS);
  const memberships = organizationId === undefined ? undefined : await membershipsOf(calls, organizationId);
  const own = memberships?.find(({ identityId }) => identityId === identityIn(accessToken));
  if (all.status !== 200 && (own === undefined || own.role === LEAST_ROLE)) return [];
  return [
    `It may more than it needs: give it the organization role ${LEAST_ROLE} in place of the one it has.`,
  ];
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
