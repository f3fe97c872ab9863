import { failureAnswer, type FakeAnswer } from './fake-answer';

export type FakeDialectName = 'v3' | 'fork';

/** One issue of a schema failure, as zod writes it. */
export type Issue = Readonly<Record<string, unknown>>;

/** Why a bearer is refused. */
export type TokenFault = 'missing' | 'malformed' | 'expired' | 'unknown' | 'usesUp' | 'badSignature';

export type SecretVerb = 'Get' | 'Create' | 'Update' | 'Delete';

/** All in which the two recorded servers differ; a third generation is one more of these. */
export interface FakeDialect {
  readonly limits: Readonly<Record<'secrets' | 'login' | 'createProject' | 'writes' | 'reads', number>>;
  readonly listsAlwaysShowImports: boolean;
  readonly environmentSlugsAreUnique: boolean;
  readonly versionedProject: Readonly<Record<string, unknown>>;
  readonly versionedSecret: Readonly<Record<string, unknown>>;
  readonly listedSecret: Readonly<Record<string, unknown>>;
  readonly secretsTellTheirTimes: boolean;
  validation(issues: readonly Issue[]): FakeAnswer;
  token(fault: TokenFault): FakeAnswer;
  loginRefused(cause: 'secret' | 'clientId'): FakeAnswer;
  permissionDenied(action: string, subject: string): FakeAnswer;
  notAMember(projectId: string): FakeAnswer;
  notInOrganization(): FakeAnswer | undefined;
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

/** The same on both. */
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

const v3: FakeDialect = {
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
  secretsTellTheirTimes: true,
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

const fork: FakeDialect = {
  limits: { secrets: 60, login: 50, createProject: 30, writes: 50, reads: 600 },
  listsAlwaysShowImports: true,
  environmentSlugsAreUnique: false,
  versionedProject: { version: 2, upgradeStatus: null },
  versionedSecret: {},
  listedSecret: { secretPath: '/' },
  secretsTellTheirTimes: false,
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

export const FAKE_DIALECTS: Readonly<Record<FakeDialectName, FakeDialect>> = { v3, fork };
