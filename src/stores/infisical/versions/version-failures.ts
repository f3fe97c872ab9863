import type { FailureRule } from './calls';

// The failures of each API version, as recorded. The first rule that matches decides; the status alone never does:
// a 401 of v3 may be a dead token or a wrong body, a 500 of the fork an expired token. A 429 needs no rule: classifyFailure() knows it.

const ROUTE_NOT_FOUND: FailureRule = {
  status: 404,
  error: /^Not Found$/,
  message: /^Route /,
  reason: 'routeNotFound',
};

/** The same on the fork and on v3. */
const RECORDED_ON_BOTH: readonly FailureRule[] = [
  ROUTE_NOT_FOUND,
  { status: 413, reason: 'tooLarge' },
  {
    status: 400,
    error: /^BadRequest$/,
    message: /^Secret (with the new name )?already exist/,
    reason: 'alreadyExists:secret',
  },
  // The database's refusal, without a cause: the caller finds out by slug what it was.
  { on: ['createProject'], status: 500, error: /^Create$/, reason: 'alreadyExists:project' },
  { status: 500, error: /^Failed to find project by (slug|id)$/, reason: 'notFound:project' },
];

/** Servers of 2025 and later have rules for names; those of June 2025 allow no space inside, and v4 allows it again. */
const NAME_REFUSED: FailureRule = {
  on: ['retrieveSecret', 'createSecret', 'updateSecret', 'deleteSecret'],
  status: 422,
  error: /^ValidationFailure$/,
  issue: /^secretName: /,
  reason: 'nameRefused',
};

/** The v3 routes of servers of 2025, where they answer differently from those of 2024. */
const RECORDED_IN_2025: readonly FailureRule[] = [
  NAME_REFUSED,
  { status: 422, error: /^ValidationFailure$/, reason: 'invalidRequest' },
  { status: 404, error: /^NotFound$/, message: /^Secret not found$/, reason: 'notFound:secret' },
  {
    status: 404,
    error: /^NotFound$/,
    message: /^Project with (slug|ID) '[\s\S]*' not found$/,
    reason: 'notFound:project',
  },
  {
    status: 404,
    error: /^NotFound$/,
    message: /^Environment with slug '[\s\S]*' in project with ID [\s\S]* not found$/,
    reason: 'notFound:environment',
  },
  { status: 403, message: /^You do not have permission to view secret value/, reason: 'permissionDenied' },
];

export const V3_FAILURES: readonly FailureRule[] = [
  ...RECORDED_ON_BOTH,
  ...RECORDED_IN_2025,
  { status: 401, error: /^ValidationFailure$/, reason: 'invalidRequest' },
  { on: ['login'], status: 401, error: /^UnauthorizedError$/, reason: 'credentialsRefused' },
  {
    status: 404,
    error: /^NotFound$/,
    message: /^No identity with specified client ID/,
    reason: 'credentialsRefused',
  },
  { status: 401, error: /^UnauthorizedError$/, reason: 'tokenDead' },
  { status: 403, error: /^TokenError$/, reason: 'tokenDead' },
  { status: 404, error: /^NotFound$/, message: /^Service token with ID /, reason: 'tokenDead' },
  { status: 403, error: /^PermissionDenied$/, reason: 'permissionDenied' },
  { status: 403, error: /^Forbidden access to /, reason: 'permissionDenied' },
  { status: 403, error: /^Identity is not a member of the specified project/, reason: 'notAMember' },
  { status: 404, message: /^Secret with name [\s\S]* not found$/, reason: 'notFound:secret' },
  { status: 404, message: /^(Secret|One or more secrets) does not exist: /, reason: 'notFound:secret' },
  {
    status: 404,
    message: /^Folder with path [\s\S]* in environment with slug [\s\S]* not found$/,
    reason: 'notFound:environment',
  },
  { status: 404, message: /^Environment with id [\s\S]* not found$/i, reason: 'notFound:environment' },
  {
    status: 404,
    message: /^Project with ID [\s\S]* not found during bot lookup/,
    reason: 'notFound:project',
  },
  {
    status: 400,
    error: /^(Create|Update)Environment$/,
    message: /already exist$/,
    reason: 'alreadyExists:environment',
  },
  { status: 404, message: /^One or more tags not found$/, reason: 'invalidRequest' },
  { status: 400, error: /^Bad ?Request$/, reason: 'invalidRequest' },
];

export const FORK_FAILURES: readonly FailureRule[] = [
  ...RECORDED_ON_BOTH,
  { status: 403, error: /^ValidationFailure$/, reason: 'invalidRequest' },
  { on: ['login'], status: 403, error: /^UnauthorizedError$/, reason: 'credentialsRefused' },
  { status: 403, error: /^UnauthorizedError$/, reason: 'tokenDead' },
  { status: 403, error: /^Unauthorized access$/, message: /^Token missing$/, reason: 'tokenDead' },
  {
    status: 400,
    error: /^BadRequest$/,
    message: /^Unable to renew because access token number of uses limit reached/,
    reason: 'tokenDead',
  },
  {
    status: 500,
    error: /^Internal Server Error$/,
    message: /^(jwt |invalid signature$|invalid token$)/,
    reason: 'tokenDead',
  },
  { status: 401, error: /^PermissionDenied$/, reason: 'permissionDenied' },
  { status: 403, error: / Unauthorized Access$/, reason: 'permissionDenied' },
  { status: 403, error: /^Identity not in (project|org)$/, reason: 'notAMember' },
  { status: 400, error: /^BadRequest$/, message: /^Secret not found/, reason: 'notFound:secret' },
  {
    status: 400,
    error: /^Create secret$/,
    message: /^Folder not found for the given environment/,
    reason: 'notFound:environment',
  },
  { status: 400, error: /^BadRequest$/, message: /^Environment not found$/, reason: 'notFound:environment' },
  { status: 400, error: /^Re-order env$/, reason: 'notFound:environment' },
  {
    status: 400,
    error: /^BadRequest$/,
    message: /^Project not found during bot lookup/,
    reason: 'notFound:project',
  },
  { status: 400, error: /^Create envv$/, message: /already exist$/, reason: 'alreadyExists:environment' },
  // Two environments took one position: this one was rolled back, whatever its slug.
  {
    on: ['createEnvironment'],
    status: 500,
    message: /duplicate key value violates unique constraint/,
    reason: 'conflict',
  },
  { status: 400, error: /^Bad ?Request$/, reason: 'invalidRequest' },
  { status: 415, reason: 'invalidRequest' },
];

/** Upstream's wording changed over time. */
const NOT_A_MEMBER = /not (a )?member|does not belong to your selected organization/i;

/** Infisical names its errors. A status without such a name may be that of a proxy in front of it. */
const ANY_ERROR = /./;

/** As recorded from a server of July 2026, and as documents and the published source say of others. */
export const V4_FAILURES: readonly FailureRule[] = [
  ROUTE_NOT_FOUND,
  { status: 413, reason: 'tooLarge' },
  NAME_REFUSED,
  { status: 422, reason: 'invalidRequest' },
  { on: ['login'], status: 401, error: ANY_ERROR, reason: 'credentialsRefused' },
  { on: ['login'], status: 403, error: ANY_ERROR, reason: 'credentialsRefused' },
  { on: ['login'], status: 404, error: ANY_ERROR, reason: 'credentialsRefused' },
  { on: ['login'], status: 400, message: /lock/i, reason: 'credentialsRefused' },
  { status: 401, error: ANY_ERROR, reason: 'tokenDead' },
  { status: 403, error: /^TokenError$/, reason: 'tokenDead' },
  { status: 403, error: /^PermissionDenied$/, reason: 'permissionDenied' },
  { status: 403, message: NOT_A_MEMBER, reason: 'notAMember' },
  { status: 403, error: NOT_A_MEMBER, reason: 'notAMember' },
  { status: 403, error: ANY_ERROR, reason: 'permissionDenied' },
  { status: 404, message: /^Secret (with name |not found$)/, reason: 'notFound:secret' },
  { status: 404, message: /^(Folder with path|Environment with) /, reason: 'notFound:environment' },
  { on: ['findProject', 'ping'], status: 404, error: ANY_ERROR, reason: 'notFound:project' },
  { status: 404, message: /^Project with /, reason: 'notFound:project' },
  { on: ['createSecret'], status: 409, error: ANY_ERROR, reason: 'alreadyExists:secret' },
  { on: ['createSecret'], status: 400, message: /already exist/i, reason: 'alreadyExists:secret' },
  { on: ['createProject'], status: 400, message: /already exist/i, reason: 'alreadyExists:project' },
  { on: ['createProject'], status: 409, error: ANY_ERROR, reason: 'alreadyExists:project' },
  { on: ['createEnvironment'], status: 400, message: /pending-deletion/i, reason: 'environmentHeld' },
  { on: ['createEnvironment'], status: 400, message: /already exist/i, reason: 'alreadyExists:environment' },
  { on: ['createEnvironment'], status: 409, error: ANY_ERROR, reason: 'alreadyExists:environment' },
  { status: 400, message: /^Identity does not belong to this organization/, reason: 'tokenDead' },
  { status: 400, error: ANY_ERROR, reason: 'invalidRequest' },
];
