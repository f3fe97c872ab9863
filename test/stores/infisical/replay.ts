import {
  classifyFailure,
  type FailureReason,
  type CallName,
} from '../../../src/stores/infisical/versions/calls';
import { isSecretName } from '../../../src/secrets/secret';
import { keysOf, requireHoldableName } from '../../../src/stores/infisical/secret-codec';
import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import type { RecordedApiVersionName, TokenFault } from '../../support/fake-infisical/fake-api-version';
import type { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import type { FakeIdentity, FakeProject } from '../../support/fake-infisical/fake-world';
import { callNameOf, recordings, type Recorded } from '../../support/fake-infisical/recordings';

export interface Replayable {
  readonly entry: Recorded;
  readonly call: CallName;
}

type Fields = Readonly<Record<string, string>>;

/** What requests of this adapter hold, by call; a recorded request with anything else is not one of them. */
const FIELDS: Readonly<Record<CallName, readonly string[]>> = {
  login: ['clientId', 'clientSecret'],
  ping: [],
  checkOrganization: [],
  findProject: [],
  createProject: ['projectName', 'slug'],
  listProjects: [],
  deleteProject: [],
  createEnvironment: ['name', 'slug'],
  listSecrets: ['workspaceId', 'environment'],
  retrieveSecret: ['workspaceId', 'environment'],
  createSecret: ['workspaceId', 'environment', 'secretValue'],
  updateSecret: ['workspaceId', 'environment', 'secretValue'],
  deleteSecret: ['workspaceId', 'environment'],
};
const MAY_ALSO_HOLD = [
  'secretPath', 'type', 'expandSecretReferences', 'includeImports', 'include_imports', 'recursive', 'viewSecretValue',
]; // prettier-ignore

/** Servers that were stopped, limits used up, and requests that hold what the recorder cut or the adapter never sends (an ETag, a mask). */
const NOT_OURS =
  /stopped|frozen|service token|If-None-Match|not to be shown|body limit|fold|tag(?!s")|org id not a uuid|env slug: 64/i;

/** The recorded requests that the adapter can make, of a server that was well and within its limits. */
export function replayable(apiVersion: RecordedApiVersionName): readonly Replayable[] {
  return recordings(apiVersion).flatMap((entry) => {
    const call = callNameOf(entry, apiVersion);
    if (call === undefined || entry.lost !== undefined || entry.status === 429) return [];
    return !NOT_OURS.test(entry.name) && canBeMade(entry, call, apiVersion) ? [{ entry, call }] : [];
  });
}

/** The projects that the recorder deleted before this request and after the one before it. */
export function deletedBetween(
  apiVersion: RecordedApiVersionName,
  from: number,
  to: number,
): readonly string[] {
  return recordings(apiVersion)
    .filter(({ at, method, status }) => at > from && at < to && method === 'DELETE' && status === 200)
    .flatMap(({ path }) => /^\/api\/v[12]\/(?:workspace|projects)\/([^/]+)$/.exec(path)?.[1] ?? []);
}

function canBeMade(entry: Recorded, call: CallName, apiVersion: RecordedApiVersionName): boolean {
  const fields = entry.method === 'GET' ? fieldsOf(entry) : fieldsOf({ ...entry, path: '' });
  const name = nameOf(entry);
  return (
    Object.values(fields).every((value) => typeof value === 'string') &&
    Object.keys(fields).every((key) => FIELDS[call].includes(key) || MAY_ALSO_HOLD.includes(key)) &&
    FIELDS[call].every((key) => key in fields) &&
    (fields['secretPath'] ?? '/') === '/' &&
    (call === 'createProject' || (fields['type'] ?? 'shared') === 'shared') &&
    fields['recursive'] !== 'true' &&
    (call !== 'retrieveSecret' || fields['expandSecretReferences'] !== 'true') &&
    fields['include_imports'] !== '1' &&
    (call !== 'checkOrganization' || /\/[0-9a-f-]{36}$/.test(entry.path)) &&
    (name === undefined || isSent(name, call, apiVersion))
  );
}

function isSent(name: string, call: CallName, apiVersion: RecordedApiVersionName): boolean {
  if (!isSecretName(name)) return false;
  try {
    requireHoldableName(name);
    const keys = keysOf(name, API_VERSIONS[apiVersion]);
    return call === 'createSecret' ? keys[0] === name : keys.includes(name);
  } catch {
    return false;
  }
}

/** Sends it to the fake, after what went before it there but was not recorded. */
export async function replay(
  fake: FakeInfisical,
  apiVersion: RecordedApiVersionName,
  { entry, call }: Replayable,
) {
  const failure =
    entry.status < 300
      ? undefined
      : classifyFailure(API_VERSIONS[apiVersion].failures, call, entry.status, entry.answer);
  const identity = arrange(fake, entry, call, failure);
  // A bearer beside a login is looked at first.
  const bearerRefused =
    failure === 'tokenDead' || (failure !== undefined && call === 'login' && entry.bearer);
  const fault = bearerRefused ? tokenFaultOf(entry) : undefined;
  const token = fault === 'malformed' ? 'garbage' : fake.issueToken(identity);
  if (fault !== undefined && fault !== 'malformed') fake.killTokens(fault);
  const path = entry.path
    .replace(/(?<=^\/api\/v1\/identities\/)[^/]+$/, identity.id)
    .replace(/organizations\/[^/]+/, (all) =>
      /wrong org id/.test(entry.name) ? all : `organizations/${fake.world.organizationId}`,
    );
  const response = await fetch(fake.url + path, {
    method: entry.method,
    headers: {
      // As the recorder did: an address of its own for each request, so that no limit bites.
      'x-forwarded-for': `10.0.0.${entry.at}`,
      ...(entry.bearer && { authorization: `Bearer ${token}` }),
      ...(entry.sent !== undefined && { 'content-type': 'application/json' }),
    },
    ...(entry.sent !== undefined && { body: JSON.stringify(entry.sent) }),
  });
  // Later requests name the project by the id that the real server gave it.
  const made = (entry.answer as { project?: { id: string; slug: string } }).project;
  if (call === 'createProject' && made !== undefined)
    Object.assign(fake.project(made.slug) ?? {}, { id: made.id });
  return {
    status: response.status,
    limit: response.headers.get('x-ratelimit-limit'),
    answer: await response.json(),
  };
}

/** Who asks, and what is there, so that the recorded answer is the right one. */
function arrange(
  fake: FakeInfisical,
  entry: Recorded,
  call: CallName,
  failure: FailureReason | undefined,
): FakeIdentity {
  const { world } = fake;
  const fields = fieldsOf(entry);
  if (call === 'login') {
    const { clientId = '', clientSecret = '' } = fields;
    const known = world.identities.find((identity) => identity.clientId === clientId.trim());
    const identity = known ?? (entry.status === 404 ? undefined : world.addIdentity(clientId, 'another'));
    if (identity !== undefined && failure === undefined) identity.clientSecret = clientSecret.trim();
    if (identity !== undefined && failure === 'credentialsRefused') identity.clientSecret = 'another';
    return fake.identity;
  }
  const stranger = world.addIdentity('stranger', 'x', failure !== 'permissionDenied');
  const outside = failure === 'notAMember' || failure === 'permissionDenied';
  const project = projectFor(fake, entry, call, failure);
  if (project !== undefined && failure === 'permissionDenied') {
    const reads = call === 'listSecrets' || call === 'retrieveSecret';
    project.members.set(stranger.id, reads ? 'no-access' : 'viewer');
  }
  if (project !== undefined) arrangeSecrets(fake, project, entry, call, failure);
  return outside ? stranger : fake.identity;
}

function projectFor(
  fake: FakeInfisical,
  entry: Recorded,
  call: CallName,
  failure: FailureReason | undefined,
): FakeProject | undefined {
  if (
    call === 'ping' ||
    call === 'checkOrganization' ||
    call === 'createProject' ||
    failure === 'notFound:project'
  )
    return undefined;
  const pathname = entry.path.split('?')[0] ?? '';
  const { world } = fake;
  if (call === 'findProject') {
    const slug = pathname.split('/').at(-1) ?? '';
    return failure === 'invalidRequest'
      ? undefined
      : (fake.project(slug) ?? world.addProject(slug, 'recorded', fake.identity));
  }
  const byPath = call === 'createEnvironment' || call === 'deleteProject';
  const id = byPath ? pathname.split('/')[4] : fieldsOf(entry)['workspaceId'];
  if (id === undefined || /missing project|not uuid|slug in place/.test(entry.name)) return undefined;
  const known = world.projects.find((candidate) => candidate.id === id);
  return known ?? world.addProject(`project-${id.slice(0, 8)}`, 'recorded', fake.identity, id);
}

/** The steps between the recorded ones: a secret that is answered was there, one that is created was not. */
function arrangeSecrets(
  fake: FakeInfisical,
  project: FakeProject,
  entry: Recorded,
  call: CallName,
  failure: FailureReason | undefined,
): void {
  const { environment: slug = '' } = fieldsOf(entry);
  let environment = project.environments.find((candidate) => candidate.slug === slug);
  if (call === 'createEnvironment') {
    const at = project.environments.findIndex((candidate) => candidate.slug === fieldsOf(entry)['slug']);
    if (failure === undefined && at >= 0) project.environments.splice(at, 1);
    if (isHeld(entry)) fake.world.deleteEnvironment(project.slug, fieldsOf(entry)['slug'] ?? '', true);
    return;
  }
  const name = nameOf(entry);
  if (name === undefined) return;
  if (environment === undefined && failure !== 'notFound:environment' && slug !== '') {
    environment = fake.world.addEnvironment(project, slug, slug);
  }
  if (environment === undefined) return;
  const rows = environment.secrets.filter((secret) => secret.key === name);
  const wanted = failure === 'alreadyExists:secret' || (failure === undefined && call !== 'createSecret');
  const unwanted = failure === 'notFound:secret' || (failure === undefined && call === 'createSecret');
  if (wanted && rows.length === 0) fake.world.addSecret(environment, name, 'recorded');
  if (unwanted) for (const row of rows) environment.secrets.splice(environment.secrets.indexOf(row), 1);
}

/** A project's id is named here as on v3, whatever the server calls it. */
function fieldsOf({ path, sent }: Recorded): Fields {
  const query = Object.fromEntries(new URLSearchParams(path.split('?')[1] ?? ''));
  const { projectId, ...fields }: Fields = { ...query, ...(typeof sent === 'object' ? sent : {}) };
  return projectId === undefined ? fields : { ...fields, workspaceId: projectId };
}

function isHeld({ answer }: Recorded): boolean {
  return /pending-deletion/.test(String((answer as { message?: unknown }).message));
}

function nameOf({ path }: Recorded): string | undefined {
  const segment = /^\/api\/(?:v3\/secrets\/raw|v4\/secrets)\/([^?]*)/.exec(path)?.[1];
  if (segment === undefined) return undefined;
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

function tokenFaultOf(entry: Recorded): TokenFault | undefined {
  const { message } = entry.answer as { message: string };
  if (!entry.bearer) return undefined;
  if (/expired/.test(message)) return 'expired';
  if (/signature/.test(message)) return 'badSignature';
  if (/uses limit/.test(message)) return 'usesUp';
  return /jwt|malformed|invalid token/.test(message) ? 'malformed' : 'unknown';
}
