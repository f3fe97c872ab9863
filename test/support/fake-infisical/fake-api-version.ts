import { failureAnswer, type FakeAnswer } from './fake-answer';
import { nameIssues } from './fake-validation';

/** The API versions that were recorded; tests compare each with its recording. */
export type RecordedApiVersionName = 'v3' | 'fork' | 'v4';
/** `v3-2025` is v3 with the failures of a server of June 2025; only those were recorded. */
export type FakeApiVersionName = RecordedApiVersionName | 'v3-2025';

/** One issue of a schema failure, as zod writes it. */
export type Issue = Readonly<Record<string, unknown>>;

/** Why a bearer is refused. */
export type TokenFault = 'missing' | 'malformed' | 'expired' | 'unknown' | 'usesUp' | 'badSignature';

export type SecretVerb = 'Get' | 'Create' | 'Update' | 'Delete';

const NOTHING_MORE = { Create: {}, Update: {}, Delete: {} };

export interface FakePaths {
  /** Undefined where there is no such route. */
  readonly organizationProjects: string | undefined;
  readonly projects: string;
  readonly projectBySlug: string;
  readonly environments: string;
  readonly secrets: string;
}

const OLDER_PATHS: FakePaths = {
  organizationProjects: '/api/v2/organizations/{orgId}/workspaces',
  projects: '/api/v2/workspace',
  projectBySlug: '/api/v2/workspace/{slug}',
  environments: '/api/v1/workspace/{projectId}/environments',
  secrets: '/api/v3/secrets/raw',
};

/** The differences between the servers. */
export interface FakeApiVersion {
  readonly paths: FakePaths;
  /** The name of a project's id in requests. */
  readonly projectIdField: 'workspaceId' | 'projectId';
  readonly limits: Readonly<Record<'secrets' | 'login' | 'createProject' | 'writes' | 'reads', number>>;
  readonly listsAlwaysShowImports: boolean;
  readonly environmentSlugsAreUnique: boolean;
  readonly versionedProject: Readonly<Record<string, unknown>>;
  readonly versionedSecret: Readonly<Record<string, unknown>>;
  readonly listedSecret: Readonly<Record<string, unknown>>;
  readonly retrievedSecret: Readonly<Record<string, unknown>>;
  /** Further fields of the answer to a write. */
  readonly writtenSecret: Readonly<Record<Exclude<SecretVerb, 'Get'>, Readonly<Record<string, unknown>>>>;
  readonly versionedEnvironment: Readonly<Record<string, unknown>>;
  /** Undefined where only the database limits the length. */
  readonly longestProjectName: number | undefined;
  /** Whether refusals have a request id. */
  readonly refusalsHaveIds: boolean;
  readonly secretsTellTheirTimes: boolean;
  /** Whether there is a route that shows one identity. */
  readonly showsIdentities: boolean;
  /** Names of secrets with which a write reaches another route. */
  readonly routesOfNames: readonly string[];
  /** The same for creates only. */
  readonly routesOfNewNames: readonly string[];
  /** Whether two creates of one name that overlap can both store it. */
  readonly createsAreAtomic: boolean;
  /** The answer to creating an environment that was just deleted; undefined where its slug is free. */
  readonly environmentHeld: ((slug: string) => FakeAnswer) | undefined;
  secretExists(): FakeAnswer;
  /** Why a new secret's name is refused. */
  newNameIssues(name: string): readonly Issue[];
  validation(issues: readonly Issue[]): FakeAnswer;
  token(fault: TokenFault): FakeAnswer;
  loginRefused(cause: 'secret' | 'clientId'): FakeAnswer;
  permissionDenied(action: string, subject: string): FakeAnswer;
  notAMember(projectId: string): FakeAnswer;
  notInOrganization(): FakeAnswer | undefined;
  slugMissing(slug: string): FakeAnswer;
  projectSlugTaken(): FakeAnswer;
  /** The answer to listing it; undefined where that is an empty list. */
  environmentMissingInList(slug: string): FakeAnswer | undefined;
  projectIdMissing(projectId: string): FakeAnswer;
  environmentMissing(slug: string, verb: SecretVerb): FakeAnswer;
  secretMissing(name: string, verb: SecretVerb): FakeAnswer;
  environmentSlugTaken(): FakeAnswer;
  rateLimited(): FakeAnswer;
  bodyTooLarge(): FakeAnswer;
  malformedJson(): FakeAnswer;
}

const SOMETHING = 'Something went wrong';
const NOT_ALLOWED = 'You are not allowed to access this resource';

/** The same on fork and v3. */
export const routeNotFound = (method: string, target: string): FakeAnswer =>
  failureAnswer(404, 'Not Found', `Route ${method}:${target} not found`);
export const databaseRefused = (what: string): FakeAnswer => failureAnswer(500, what, SOMETHING);
export const badRequest = (message: string): FakeAnswer => failureAnswer(400, 'BadRequest', message);

const JWT_TEXTS: Readonly<Record<TokenFault, string>> = {
  missing: 'Token missing',
  malformed: 'jwt malformed',
  expired: 'jwt expired',
  badSignature: 'invalid signature',
  unknown: NOT_ALLOWED,
  usesUp: 'Unable to renew because access token number of uses limit reached',
};

const v3: FakeApiVersion = {
  paths: OLDER_PATHS,
  projectIdField: 'workspaceId',
  limits: { secrets: 40, login: 200, createProject: 200, writes: 200, reads: 60 },
  listsAlwaysShowImports: false,
  environmentSlugsAreUnique: true,
  versionedProject: {
    version: 3,
    upgradeStatus: null,
    pitVersionLimit: 10,
    kmsCertificateKeyId: null,
    auditLogsRetentionDays: null,
  },
  versionedSecret: {
    secretReminderNote: null,
    secretReminderRepeatDays: null,
    skipMultilineEncoding: false,
    metadata: null,
  },
  listedSecret: { secretPath: '/', tags: [] },
  retrievedSecret: { tags: [] },
  writtenSecret: NOTHING_MORE,
  versionedEnvironment: {},
  longestProjectName: undefined,
  refusalsHaveIds: false,
  secretsTellTheirTimes: true,
  showsIdentities: true,
  routesOfNames: [],
  routesOfNewNames: [],
  createsAreAtomic: false,
  environmentHeld: undefined,
  secretExists: () => badRequest('Secret already exist'),
  newNameIssues: () => [],
  validation: (issues) => failureAnswer(401, 'ValidationFailure', issues),
  token: (fault) => {
    switch (fault) {
      case 'missing':
        return failureAnswer(401, 'UnauthorizedError', JWT_TEXTS.missing);
      case 'unknown':
        return failureAnswer(401, 'UnauthorizedError', 'No identity access token found');
      case 'usesUp':
        return failureAnswer(401, 'UnauthorizedError', JWT_TEXTS.usesUp);
      case 'expired':
        return failureAnswer(403, 'TokenError', 'Your token has expired. Please re-authenticate.');
      case 'malformed':
        return failureAnswer(403, 'TokenError', 'The provided access token is malformed.');
      case 'badSignature':
        return failureAnswer(403, 'TokenError', JWT_TEXTS.badSignature);
    }
  },
  loginRefused: (cause) =>
    cause === 'secret'
      ? failureAnswer(401, 'UnauthorizedError', 'Invalid credentials')
      : failureAnswer(404, 'NotFound', 'No identity with specified client ID was found'),
  permissionDenied: (action, subject) =>
    failureAnswer(403, 'PermissionDenied', `You are not allowed to ${action} on ${subject}`),
  notAMember: (id) =>
    failureAnswer(403, `Identity is not a member of the specified project with ID '${id}'`, NOT_ALLOWED),
  notInOrganization: () => undefined,
  slugMissing: () => databaseRefused('Failed to find project by slug'),
  projectSlugTaken: () => databaseRefused('Create'),
  environmentMissingInList: () => undefined,
  projectIdMissing: (id) =>
    failureAnswer(404, 'NotFound', `Project with ID '${id}' not found during bot lookup. Are you sure?`),
  environmentMissing: (slug, verb) =>
    failureAnswer(
      404,
      verb === 'Get' ? 'GetSecretByName' : `${verb}Secret`,
      `Folder with path '/' in environment with slug '${slug}' not found`,
    ),
  secretMissing: (name, verb) =>
    verb === 'Update'
      ? failureAnswer(404, 'NotFound', `Secret with name ${name} not found`)
      : failureAnswer(
          404,
          verb === 'Delete' ? 'DeleteSecret' : 'NotFound',
          `Secret with name '${name}' not found`,
        ),
  environmentSlugTaken: () => failureAnswer(400, 'CreateEnvironment', 'Environment with slug already exist'),
  rateLimited: () =>
    failureAnswer(429, 'RateLimitExceeded', 'Rate limit exceeded. Please try again in 1 minute'),
  bodyTooLarge: () => ({ ...databaseRefused('InternalServerError'), headers: { connection: 'close' } }),
  malformedJson: () => databaseRefused('InternalServerError'),
};

const fork: FakeApiVersion = {
  paths: OLDER_PATHS,
  projectIdField: 'workspaceId',
  limits: { secrets: 60, login: 50, createProject: 30, writes: 50, reads: 600 },
  listsAlwaysShowImports: true,
  environmentSlugsAreUnique: false,
  versionedProject: { version: 2, upgradeStatus: null },
  versionedSecret: {},
  listedSecret: { secretPath: '/' },
  retrievedSecret: {},
  writtenSecret: NOTHING_MORE,
  versionedEnvironment: {},
  longestProjectName: undefined,
  refusalsHaveIds: false,
  secretsTellTheirTimes: false,
  showsIdentities: false,
  routesOfNames: [],
  routesOfNewNames: [],
  createsAreAtomic: false,
  environmentHeld: undefined,
  secretExists: () => badRequest('Secret already exist'),
  newNameIssues: () => [],
  validation: (issues) => failureAnswer(403, 'ValidationFailure', issues),
  token: (fault) => {
    switch (fault) {
      case 'missing':
        return failureAnswer(403, 'Unauthorized access', JWT_TEXTS.missing);
      case 'unknown':
        return failureAnswer(403, 'UnauthorizedError', JWT_TEXTS.unknown);
      case 'usesUp':
        return badRequest(JWT_TEXTS.usesUp);
      case 'expired':
      case 'malformed':
      case 'badSignature':
        return failureAnswer(500, 'Internal Server Error', JWT_TEXTS[fault]);
    }
  },
  loginRefused: () => failureAnswer(403, 'UnauthorizedError', 'Invalid credentials'),
  permissionDenied: (action, subject) =>
    failureAnswer(401, 'PermissionDenied', `You are not allowed to ${action} on ${subject}`),
  notAMember: () => failureAnswer(403, 'Identity not in project', NOT_ALLOWED),
  notInOrganization: () => failureAnswer(403, 'Identity not in org', NOT_ALLOWED),
  slugMissing: () => databaseRefused('Failed to find project by slug'),
  projectSlugTaken: () => databaseRefused('Create'),
  environmentMissingInList: () => undefined,
  projectIdMissing: () => badRequest('Project not found during bot lookup.'),
  environmentMissing: () =>
    failureAnswer(400, 'Create secret', 'Folder not found for the given environment slug & secret path'),
  secretMissing: (name, verb) =>
    badRequest(verb === 'Get' ? 'Secret not found' : `Secret not found: blind index ${name}`),
  environmentSlugTaken: () => failureAnswer(400, 'Create envv', 'Environment with slug already exist'),
  rateLimited: () => failureAnswer(429, 'Too Many Requests', 'Rate limit exceeded, retry in 1 minute'),
  bodyTooLarge: () => ({
    ...failureAnswer(413, 'Payload Too Large', 'Request body is too large', {
      code: 'FST_ERR_CTP_BODY_TOO_LARGE',
    }),
    headers: { connection: 'close' },
  }),
  malformedJson: () =>
    failureAnswer(400, 'Bad Request', "Expected property name or '}' in JSON at position 1"),
};

const v3Of2025: FakeApiVersion = {
  ...v3,
  newNameIssues: (name) => nameIssues(name, ['forward slash', 'colon', 'spaces']),
  validation: (issues) => failureAnswer(422, 'ValidationFailure', issues),
};

const NOT_ROTATED = { isRotatedSecret: false, rotationId: null };
const READ_ON_V4 = {
  ...NOT_ROTATED,
  secretPath: '/',
  secretValueHidden: false,
  secretMetadata: [],
  tags: [],
};

/** As recorded of a server of July 2026. */
const v4: FakeApiVersion = {
  ...v3,
  paths: {
    organizationProjects: undefined,
    projects: '/api/v1/projects',
    projectBySlug: '/api/v1/projects/slug/{slug}',
    environments: '/api/v1/projects/{projectId}/environments',
    secrets: '/api/v4/secrets',
  },
  projectIdField: 'projectId',
  limits: {
    secrets: Infinity,
    login: Infinity,
    createProject: Infinity,
    writes: Infinity,
    reads: Infinity,
  },
  listsAlwaysShowImports: true,
  versionedProject: {
    ...v3.versionedProject,
    description: null,
    type: 'secret-manager',
    defaultProduct: null,
    autoCapitalization: false,
    hasDeleteProtection: false,
    secretSharing: true,
    showSnapshotsLegacy: false,
    secretDetectionIgnoreValues: null,
    enforceEncryptedSecretManagerSecretMetadata: null,
    deletedEnvironments: [],
  },
  versionedEnvironment: {
    deleteAfter: null,
    softDeletedAt: null,
    deletedByUserId: null,
    deletedByIdentityId: null,
  },
  versionedSecret: {
    secretReminderNote: null,
    secretReminderRepeatDays: null,
    skipMultilineEncoding: false,
  },
  listedSecret: READ_ON_V4,
  retrievedSecret: READ_ON_V4,
  writtenSecret: {
    Create: NOT_ROTATED,
    Update: { ...NOT_ROTATED, secretValueHidden: false },
    Delete: { secretValueHidden: false },
  },
  longestProjectName: 64,
  refusalsHaveIds: true,
  routesOfNames: ['batch'],
  routesOfNewNames: ['move', 'duplicate', 'backfill-secret-references'],
  createsAreAtomic: true,
  environmentHeld: (slug) =>
    failureAnswer(
      400,
      'CreateEnvironment',
      `Environment slug '${slug}' is held by a pending-deletion environment. Permanently delete that environment first, then retry.`,
    ),
  secretExists: () => badRequest('Secret already exists'),
  newNameIssues: (name) => nameIssues(name, ['forward slash', 'colon']),
  validation: (issues) => failureAnswer(422, 'ValidationFailure', issues),
  loginRefused: () => v3.loginRefused('secret'),
  slugMissing: (slug) => failureAnswer(404, 'NotFound', `Project with slug '${slug}' not found`),
  projectSlugTaken: () =>
    badRequest('A project with the slug "x" already exists in your organization. Please choose another.'),
  notAMember: () => failureAnswer(403, 'You are not member of this project', NOT_ALLOWED),
  environmentMissingInList: (slug) =>
    failureAnswer(404, 'SecretPathNotFound', `Folder with path '/' in environment '${slug}' was not found.`),
  environmentSlugTaken: () => failureAnswer(400, 'CreateEnvironment', 'Environment with slug already exists'),
  secretMissing: (name, verb) =>
    verb === 'Delete' ? failureAnswer(404, 'NotFound', 'Secret not found') : v3.secretMissing(name, verb),
};

export const FAKE_API_VERSIONS: Readonly<Record<FakeApiVersionName, FakeApiVersion>> = {
  v3,
  fork,
  'v3-2025': v3Of2025,
  v4,
};
