import { setTimeout as pause } from 'node:timers/promises';
import { FakeRefusal, failureAnswer, type FakeAnswer } from './fake-answer';
import { badRequest, databaseRefused, type FakeApiVersion, type SecretVerb } from './fake-api-version';
import { projectDeletionRoutes } from './fake-project-deletion';
import {
  flagIssues,
  longNameIssues,
  notASlug,
  plainSlug,
  slugIssues,
  stringIssues,
  trimmedValue,
} from './fake-validation';
import type { FakeEnvironment, FakeIdentity, FakeProject, FakeSecret, FakeWorld } from './fake-world';

/** The pause between check and insert of a create, as a database needs it: overlapping creates all find nothing. */
const RACE_WINDOW_MS = 3;
const NO_BEARER_NEEDED = true;
const START = '2026-11-22T19:48:12.992Z';

export interface FakeRequest {
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly identity: FakeIdentity;
}

export interface FakeRoute {
  readonly method: string;
  readonly template: string;
  readonly limit: keyof FakeApiVersion['limits'];
  readonly public?: boolean;
  handle(request: FakeRequest): Promise<FakeAnswer>;
}

/** The routes that the adapter calls, answering as the recorded servers do, faults included. */
export function fakeRoutes(
  world: FakeWorld,
  apiVersion: FakeApiVersion,
  issueToken: (identity: FakeIdentity) => { accessToken: string; expiresIn: number },
): readonly FakeRoute[] {
  const refuse = (answer: FakeAnswer): never => {
    throw new FakeRefusal(answer);
  };
  const ok = (body: unknown): FakeAnswer => ({ status: 200, body });

  const projectView = (project: FakeProject) => ({
    id: project.id,
    name: project.name,
    slug: project.slug,
    autoCapitalization: true,
    orgId: world.organizationId,
    createdAt: project.createdAt,
    updatedAt: project.createdAt,
    ...apiVersion.versionedProject,
    _id: project.id,
    environments: project.environments.map(({ name, slug, id }) => ({ name, slug, id })),
  });

  const secretView = (project: FakeProject, environment: string, secret: FakeSecret) => ({
    id: secret.id,
    _id: secret.id,
    workspace: project.id,
    environment,
    version: secret.version,
    type: 'shared',
    secretKey: secret.key,
    secretValue: secret.value,
    secretComment: '',
    ...apiVersion.versionedSecret,
    ...(apiVersion.secretsTellTheirTimes && { createdAt: secret.createdAt, updatedAt: secret.updatedAt }),
  });

  const roleIn = (project: FakeProject, identity: FakeIdentity) =>
    project.members.get(identity.id) ?? refuse(apiVersion.notAMember(project.id));

  /** Returns the project of a secret route, where the identity has the right. */
  const projectOf = (id: string, identity: FakeIdentity, action: string): FakeProject => {
    const project =
      world.projects.find((candidate) => candidate.id === id) ?? refuse(apiVersion.projectIdMissing(id));
    const role = roleIn(project, identity);
    if (role === 'no-access' || (role === 'viewer' && action !== 'read')) {
      refuse(apiVersion.permissionDenied(action, 'secrets'));
    }
    return project;
  };

  /** Returns the first environment of a slug, as the servers do where it is stored twice. */
  const environmentOf = (project: FakeProject, slug: string, verb: SecretVerb): FakeEnvironment =>
    project.environments.find((environment) => environment.slug === slug) ??
    refuse(apiVersion.environmentMissing(slug, verb));

  const login = async ({ body }: FakeRequest) => {
    const issues = stringIssues(body, ['clientId', 'clientSecret']);
    if (issues.length > 0) return apiVersion.validation(issues);
    const { clientId, clientSecret } = body as { clientId: string; clientSecret: string };
    if (clientId.includes('\0')) return databaseRefused('Find one');
    const identity = world.identities.find((candidate) => candidate.clientId === clientId.trim());
    if (identity === undefined) return apiVersion.loginRefused('clientId');
    if (identity.clientSecret !== clientSecret.trim()) return apiVersion.loginRefused('secret');
    const { accessToken, expiresIn } = issueToken(identity);
    return ok({ accessToken, expiresIn, accessTokenMaxTTL: expiresIn, tokenType: 'Bearer' });
  };

  const listProjects = async ({ path, identity }: FakeRequest) => {
    if (path['orgId'] !== world.organizationId) {
      return apiVersion.notInOrganization() ?? ok({ workspaces: [] });
    }
    if (!identity.mayCreateProjects && apiVersion.notInOrganization() !== undefined) {
      return apiVersion.permissionDenied('read', 'workspace');
    }
    const mine = world.projects.filter((project) => project.members.has(identity.id));
    return ok({
      workspaces: mine.map(({ id, name, slug, environments }) => ({
        id,
        name,
        slug,
        organization: world.organizationId,
        environments: environments.map((environment) => ({
          name: environment.name,
          slug: environment.slug,
        })),
      })),
    });
  };

  /** Returns an identity to one with the organization role member, itself included. */
  const findIdentity = async ({ path, identity }: FakeRequest) => {
    if (!identity.mayCreateProjects) return apiVersion.permissionDenied('read', 'identity');
    const id = path['identityId'] ?? '';
    if (!world.identities.some((candidate) => candidate.id === id))
      return failureAnswer(404, 'NotFound', `Failed to find identity with id ${id}`);
    return ok({
      identity: {
        id: world.organizationId,
        role: 'member',
        roleId: null,
        orgId: world.organizationId,
        createdAt: START,
        updatedAt: START,
        identityId: id,
        metadata: [],
        identity: { name: 'an identity', id, authMethod: 'universal-auth' },
      },
    });
  };

  const findProject = async ({ path, identity }: FakeRequest) => {
    const slug = path['slug'] ?? '';
    const issues = slugIssues(slug);
    if (issues.length > 0) return apiVersion.validation(issues);
    const project = world.projects.find((candidate) => candidate.slug === slug);
    if (project === undefined) return apiVersion.slugMissing(slug);
    roleIn(project, identity);
    return ok(projectView(project));
  };

  const createProject = async ({ body, identity }: FakeRequest) => {
    const issues = stringIssues(body, ['projectName']);
    const fields = body as { projectName: string; slug?: unknown };
    if (issues.length === 0 && typeof fields.slug === 'string') issues.push(...slugIssues(fields.slug));
    if (issues.length === 0)
      issues.push(...longNameIssues(fields.projectName, apiVersion.longestProjectName));
    if (issues.length > 0) return apiVersion.validation(issues);
    if (!identity.mayCreateProjects) return apiVersion.permissionDenied('create', 'workspace');
    await pause(RACE_WINDOW_MS);
    const slug = typeof fields.slug === 'string' ? fields.slug : `made-up-${world.projects.length}`;
    const name = fields.projectName.trim();
    if (name.length > 255) return databaseRefused('Create');
    if (world.projects.some((project) => project.slug === slug)) return apiVersion.projectSlugTaken();
    return ok({ project: projectView(world.addProject(slug, name, identity)) });
  };

  const createEnvironment = async ({ path, body, identity }: FakeRequest) => {
    const issues = stringIssues(body, ['name', 'slug']);
    const { name, slug: given } = body as { name: string; slug: string };
    if (issues.length === 0 && given.trim() !== '' && !plainSlug(given.trim())) issues.push(notASlug());
    if (issues.length > 0) return apiVersion.validation(issues);
    const id = path['projectId'] ?? '';
    const project =
      world.projects.find((candidate) => candidate.id === id) ?? refuse(apiVersion.notAMember(id));
    if (roleIn(project, identity) !== 'admin') return apiVersion.permissionDenied('create', 'environments');
    const slug = given.trim();
    const taken = () => project.environments.some((environment) => environment.slug === slug);
    if (taken()) return apiVersion.environmentSlugTaken();
    if (project.deleted.has(slug) && apiVersion.environmentHeld !== undefined)
      return apiVersion.environmentHeld(slug);
    await pause(RACE_WINDOW_MS);
    if (slug.length > 255) return databaseRefused('Create');
    if (apiVersion.environmentSlugsAreUnique && taken()) return apiVersion.environmentSlugTaken();
    const position = Math.max(0, ...project.environments.map((environment) => environment.position)) + 1;
    // On the fork only the position is unique: of two environments at one position, the second is rolled back.
    if (!apiVersion.environmentSlugsAreUnique && Math.random() < 0.5) await pause(1);
    if (project.environments.some((environment) => environment.position === position)) {
      return {
        status: 500,
        body: {
          statusCode: 500,
          code: '23505',
          error: 'Internal Server Error',
          message: 'COMMIT; - duplicate key value violates unique constraint "env_pos_composite_uniqe"',
        },
      };
    }
    const { id: environmentId } = world.addEnvironment(project, slug, name, position);
    const times = { createdAt: project.createdAt, updatedAt: project.createdAt };
    return ok({
      message: 'Successfully created new environment',
      [apiVersion.projectIdField === 'projectId' ? 'projectId' : 'workspace']: project.id,
      environment: {
        id: environmentId,
        name,
        slug,
        position,
        projectId: project.id,
        ...times,
        ...apiVersion.versionedEnvironment,
      },
    });
  };

  const listSecrets = async ({ query, identity }: FakeRequest) => {
    const issues = flagIssues(query, ['expandSecretReferences', 'recursive', 'include_imports']);
    if (issues.length > 0) return apiVersion.validation(issues);
    const [projectId, slug] = [query.get(apiVersion.projectIdField), query.get('environment')];
    if (!projectId || !slug) return badRequest('Missing workspace id or environment');
    const project = projectOf(projectId, identity, 'read');
    const environment = project.environments.find((candidate) => candidate.slug === slug);
    const refusal = environment === undefined ? apiVersion.environmentMissingInList(slug) : undefined;
    if (refusal !== undefined) return refusal;
    if (environment === undefined || (query.get('secretPath') ?? '/') !== '/') {
      return ok({ secrets: [], imports: [] });
    }
    const values = new Map(environment.secrets.map((secret) => [secret.key, secret.value]));
    const expanded = (value: string) =>
      query.get('expandSecretReferences') === 'true'
        ? value.replace(/\$\{([^}]+)\}/g, (all, key: string) => values.get(key) ?? all)
        : value;
    const secrets = shuffled(environment.secrets).map((secret) => ({
      ...secretView(project, slug, secret),
      secretValue: expanded(secret.value),
      ...apiVersion.listedSecret,
    }));
    const imports = apiVersion.listsAlwaysShowImports || query.get('include_imports') === 'true';
    return ok({ secrets, ...(imports && { imports: [] }) });
  };

  const retrieveSecret = async ({ path, query, identity }: FakeRequest) => {
    const [projectId, slug] = [query.get(apiVersion.projectIdField), query.get('environment')];
    if (!projectId) return badRequest('You must provide workspaceSlug or workspaceId');
    if (!slug) return badRequest('Missing environment');
    const issues = flagIssues(query, ['expandSecretReferences', 'include_imports']);
    if (issues.length > 0) return apiVersion.validation(issues);
    const project = projectOf(projectId, identity, 'read');
    const name = (path['name'] ?? '').trim();
    const secret = environmentOf(project, slug, 'Get').secrets.find(({ key }) => key === name);
    return secret === undefined
      ? apiVersion.secretMissing(name, 'Get')
      : ok({ secret: { ...secretView(project, slug, secret), ...apiVersion.retrievedSecret } });
  };

  const write =
    (verb: 'Create' | 'Update' | 'Delete', action: string) =>
    async ({ path, body, identity }: FakeRequest) => {
      const needed = [
        apiVersion.projectIdField,
        'environment',
        ...(verb === 'Delete' ? [] : ['secretValue']),
      ];
      const name = (path['name'] ?? '').trim();
      if (
        apiVersion.routesOfNames.includes(name) ||
        (verb === 'Create' && apiVersion.routesOfNewNames.includes(name))
      )
        return apiVersion.validation(stringIssues(body, ['secrets']));
      const refused = verb === 'Create' ? apiVersion.newNameIssues(name) : [];
      const issues = [...refused, ...stringIssues(body, needed)];
      if (issues.length > 0) return apiVersion.validation(issues);
      const fields = body as Record<string, string> & { environment: string; secretValue: string };
      if (name.includes('\0') || name === '__proto__') return databaseRefused('Find one');
      const project = projectOf(fields[apiVersion.projectIdField] ?? '', identity, action);
      const environment = environmentOf(project, fields.environment, verb);
      const rows = environment.secrets.filter((secret) => secret.key === name);
      const view = (secret: FakeSecret) =>
        ok({
          secret: { ...secretView(project, fields.environment, secret), ...apiVersion.writtenSecret[verb] },
        });
      if (verb === 'Create') {
        if (rows.length > 0) return apiVersion.secretExists();
        await pause(RACE_WINDOW_MS);
        if (apiVersion.createsAreAtomic && environment.secrets.some((secret) => secret.key === name))
          return databaseRefused('Create');
        return view(world.addSecret(environment, name, trimmedValue(fields.secretValue)));
      }
      const [first] = rows;
      if (first === undefined) return apiVersion.secretMissing(name, verb);
      const kept = environment.secrets.filter((secret) =>
        verb === 'Delete' ? secret.key !== name : secret !== first,
      );
      environment.secrets.splice(0, environment.secrets.length, ...kept);
      if (verb === 'Delete') return view(first);
      first.value = trimmedValue(fields.secretValue);
      first.version += 1;
      first.updatedAt = new Date().toISOString();
      environment.secrets.push(first);
      return view(first);
    };

  const { paths } = apiVersion;
  const secret = `${paths.secrets}/{name}`;
  return [
    {
      method: 'POST',
      template: '/api/v1/auth/universal-auth/login',
      limit: 'login',
      public: NO_BEARER_NEEDED,
      handle: login,
    },
    ...(paths.organizationProjects === undefined
      ? []
      : [
          {
            method: 'GET',
            template: paths.organizationProjects,
            limit: 'reads',
            handle: listProjects,
          } as const,
        ]),
    ...(apiVersion.showsIdentities
      ? [
          {
            method: 'GET',
            template: '/api/v1/identities/{identityId}',
            limit: 'reads',
            handle: findIdentity,
          } as const,
        ]
      : []),
    ...projectDeletionRoutes(world, apiVersion, projectView),
    { method: 'GET', template: paths.projectBySlug, limit: 'reads', handle: findProject },
    { method: 'POST', template: paths.projects, limit: 'createProject', handle: createProject },
    {
      method: 'POST',
      template: paths.environments,
      limit: 'writes',
      handle: createEnvironment,
    },
    { method: 'GET', template: paths.secrets, limit: 'secrets', handle: listSecrets },
    { method: 'GET', template: secret, limit: 'secrets', handle: retrieveSecret },
    { method: 'POST', template: secret, limit: 'secrets', handle: write('Create', 'create') },
    { method: 'PATCH', template: secret, limit: 'secrets', handle: write('Update', 'edit') },
    { method: 'DELETE', template: secret, limit: 'secrets', handle: write('Delete', 'delete') },
  ];
}

/** Returns the rows in another order, since the servers list in none. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
