import type { ApiVersionName, CallName, Route, FailureReason, FailureRule } from './calls';
import { FORK_FAILURES, V3_FAILURES, V4_FAILURES } from './version-failures';

/** Everything that differs between the API versions. */
export interface ApiVersion {
  readonly name: ApiVersionName;
  readonly routes: Readonly<Record<CallName, Route>>;
  /** The name of a project's id in queries and bodies of the secret routes. */
  readonly projectIdField: 'workspaceId' | 'projectId';
  /** Whether reading one secret by name costs no more than a small list. */
  readonly readsByNameAreCheap: boolean;
  /** Names that cannot be written, since the path of such a secret is that of another route. */
  readonly routesOfNames: readonly string[];
  /** Names that cannot be created, for the same reason. */
  readonly routesOfNewNames: readonly string[];
  /** Sent with every new project beside its name and slug. */
  readonly projectFields: Readonly<Record<string, string>>;
  /** Whether `listProjects` names an organization; otherwise it lists the projects of the token's organization. */
  readonly listsByOrganization: boolean;
  /** How `checkOrganization` is answered: with the organization of an identity, or by refusing to list the projects of another one. */
  readonly tellsOrganization: 'withIdentity' | 'byRefusal';
  /** Refusals of `ping` that prove all the same that the database works and the token is accepted. */
  readonly aliveReasons: readonly FailureReason[];
  /** Whether the server never stores two environments of one slug, even when calls overlap. */
  readonly environmentsAreUnique: boolean;
  readonly failures: readonly FailureRule[];
}

/** Sent with every read, so that no server's default decides. */
export const READ_FLAGS = {
  secretPath: '/',
  expandSecretReferences: 'false',
  includeImports: 'false',
  include_imports: 'false',
  recursive: 'false',
  viewSecretValue: 'true',
} as const;

/** An organization that does not exist: listing its projects checks the token and shows that the database answers. */
const NO_ORGANIZATION = '00000000-0000-0000-0000-000000000000';

const V3_ROUTES: ApiVersion['routes'] = {
  login: { method: 'POST', path: '/api/v1/auth/universal-auth/login' },
  ping: { method: 'GET', path: `/api/v2/organizations/${NO_ORGANIZATION}/workspaces` },
  checkOrganization: { method: 'GET', path: '/api/v1/identities/{identityId}' },
  findProject: { method: 'GET', path: '/api/v2/workspace/{slug}' },
  createProject: { method: 'POST', path: '/api/v2/workspace' },
  listProjects: { method: 'GET', path: '/api/v2/organizations/{organizationId}/workspaces' },
  deleteProject: { method: 'DELETE', path: '/api/v1/workspace/{projectId}' },
  createEnvironment: { method: 'POST', path: '/api/v1/workspace/{projectId}/environments' },
  listSecrets: { method: 'GET', path: '/api/v3/secrets/raw' },
  retrieveSecret: { method: 'GET', path: '/api/v3/secrets/raw/{name}' },
  createSecret: { method: 'POST', path: '/api/v3/secrets/raw/{name}' },
  updateSecret: { method: 'PATCH', path: '/api/v3/secrets/raw/{name}' },
  deleteSecret: { method: 'DELETE', path: '/api/v3/secrets/raw/{name}' },
};

/** As recorded. The fork lacks the route of an identity. */
const FORK_ROUTES: ApiVersion['routes'] = { ...V3_ROUTES, checkOrganization: V3_ROUTES.listProjects };

/** As recorded from a server of July 2026; `checkOrganization` is taken from the published source. */
const V4_ROUTES: ApiVersion['routes'] = {
  login: V3_ROUTES.login,
  ping: { method: 'GET', path: '/api/v1/projects/slug/osp-ping' },
  checkOrganization: V3_ROUTES.checkOrganization,
  findProject: { method: 'GET', path: '/api/v1/projects/slug/{slug}' },
  createProject: { method: 'POST', path: '/api/v1/projects' },
  listProjects: { method: 'GET', path: '/api/v1/projects' },
  deleteProject: { method: 'DELETE', path: '/api/v1/projects/{projectId}' },
  createEnvironment: { method: 'POST', path: '/api/v1/projects/{projectId}/environments' },
  listSecrets: { method: 'GET', path: '/api/v4/secrets' },
  retrieveSecret: { method: 'GET', path: '/api/v4/secrets/{name}' },
  createSecret: { method: 'POST', path: '/api/v4/secrets/{name}' },
  updateSecret: { method: 'PATCH', path: '/api/v4/secrets/{name}' },
  deleteSecret: { method: 'DELETE', path: '/api/v4/secrets/{name}' },
};

const V3: ApiVersion = {
  name: 'v3',
  routes: V3_ROUTES,
  projectIdField: 'workspaceId',
  readsByNameAreCheap: true,
  routesOfNames: [],
  routesOfNewNames: [],
  projectFields: {},
  listsByOrganization: true,
  tellsOrganization: 'withIdentity',
  aliveReasons: [],
  environmentsAreUnique: true,
  failures: V3_FAILURES,
};

export const API_VERSIONS: Readonly<Record<ApiVersionName, ApiVersion>> = {
  fork: {
    ...V3,
    name: 'fork',
    routes: FORK_ROUTES,
    readsByNameAreCheap: false,
    tellsOrganization: 'byRefusal',
    aliveReasons: ['notAMember'],
    environmentsAreUnique: false,
    failures: FORK_FAILURES,
  },
  v3: V3,
  v4: {
    ...V3,
    name: 'v4',
    routes: V4_ROUTES,
    projectIdField: 'projectId',
    routesOfNames: ['batch'],
    routesOfNewNames: ['move', 'duplicate', 'backfill-secret-references'],
    projectFields: { type: 'secret-manager' },
    listsByOrganization: false,
    aliveReasons: ['notFound:project', 'notAMember'],
    failures: V4_FAILURES,
  },
};
