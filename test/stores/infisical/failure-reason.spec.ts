import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import { type CallName, classifyFailure } from '../../../src/stores/infisical/versions/calls';
import type { RecordedApiVersionName } from '../../support/fake-infisical/fake-api-version';
import {
  callNameOf,
  failuresOf2025,
  recordings,
  type Recorded,
} from '../../support/fake-infisical/recordings';
import { FAILURES } from './recorded-failures';

const failuresOf = (apiVersion: RecordedApiVersionName) =>
  recordings(apiVersion).filter((entry) => entry.lost === undefined && entry.status >= 300);

const reasonOf = (apiVersion: RecordedApiVersionName, entry: Recorded) =>
  classifyFailure(
    API_VERSIONS[apiVersion].failures,
    callNameOf(entry, apiVersion),
    entry.status,
    entry.answer,
  );

describe.each(['v3', 'fork', 'v4'] as const)('the failures that %s was recorded with', (apiVersion) => {
  it('are all understood', () => {
    const notUnderstood = failuresOf(apiVersion).filter(
      (entry) => reasonOf(apiVersion, entry) === 'notUnderstood',
    );
    expect(notUnderstood.map(({ at, name, status, answer }) => ({ at, name, status, answer }))).toEqual([]);
    expect(failuresOf(apiVersion).length).toBeGreaterThan(apiVersion === 'v4' ? 60 : 200);
  });

  it('have the reasons that a person gave them', () => {
    const found = failuresOf(apiVersion).map((entry) => `${reasonOf(apiVersion, entry)} | ${kindOf(entry)}`);
    expect([...new Set(found)].sort()).toEqual([...FAILURES[apiVersion]].sort());
  });
});

describe.each(['fork', 'v3', 'v4'] as const)('a page of something in front of %s', (apiVersion) => {
  const { routes, failures } = API_VERSIONS[apiVersion];

  it.each([400, 401, 403, 404, 409])('with %d says nothing of secrets, projects or credentials', (status) => {
    for (const body of ['404 page not found', '<html></html>', '', {}, null, { message: 'Not found' }])
      for (const call of Object.keys(routes) as CallName[])
        expect([call, classifyFailure(failures, call, status, body)]).toEqual([call, 'notInfisical']);
  });
});

describe('the wording of v4, as its published source has it', () => {
  const BAD = 'BadRequest';
  it.each([
    ['deleteSecret', 404, 'NotFound', 'Secret not found', 'notFound:secret'],
    ['listSecrets', 403, 'You are not member of this project', 'x', 'notAMember'],
    [
      'findProject',
      403,
      'ForbiddenError',
      'This project does not belong to your selected organization.',
      'notAMember',
    ],
    ['listSecrets', 403, 'Identity is not a member of the specified project', 'x', 'notAMember'],
    ['listSecrets', 400, BAD, 'Identity does not belong to this organization', 'tokenDead'],
    ['createSecret', 400, BAD, 'Secret already exists', 'alreadyExists:secret'],
    [
      'createProject',
      400,
      BAD,
      'A project with the slug "x" already exists in your organization.',
      'alreadyExists:project',
    ],
    ['createSecret', 403, 'PermissionDenied', 'You are not allowed to create on secrets', 'permissionDenied'],
  ] as const)('%s: %i %s "%s" is %s', (call, statusCode, error, message, reason) => {
    const answer = { statusCode, error, message };
    expect(classifyFailure(API_VERSIONS.v4.failures, call, statusCode, answer)).toBe(reason);
  });
});

describe('the failures of a server of June 2025, which speaks v3', () => {
  const reasonOf2025 = (entry: Recorded) =>
    classifyFailure(API_VERSIONS.v3.failures, callNameOf(entry, 'v3'), entry.status, entry.answer);

  it('are all understood', () => {
    const strange = failuresOf2025().filter((entry) => reasonOf2025(entry) === 'notUnderstood');
    expect(strange.map(({ name, status, answer }) => ({ name, status, answer }))).toEqual([]);
    expect(failuresOf2025().length).toBeGreaterThan(100);
  });

  it.each([
    ['by slug, missing', 'notFound:project'],
    ['create, slug taken', 'alreadyExists:project'],
    ['create again', 'alreadyExists:secret'],
    ['read by name, missing', 'notFound:secret'],
    ['update, missing', 'notFound:secret'],
    ['delete again', 'notFound:secret'],
    ['viewer, delete missing', 'notFound:secret'],
    ['create, missing environment', 'notFound:environment'],
    ['list, missing project', 'notFound:project'],
    ['create, no value', 'invalidRequest'],
    ['create, blank', 'nameRefused'],
    ['stranger, list', 'notAMember'],
    ['viewer, update', 'permissionDenied'],
    ['revoked token', 'tokenDead'],
    ['login wrong secret, 1', 'credentialsRefused'],
  ] as const)('%s is %s', (name, reason) => {
    const found = failuresOf2025().filter((entry) => entry.name === name);
    expect(found.map(reasonOf2025)).toContain(reason);
  });
});

describe('a failure that was never recorded', () => {
  const of = (on: CallName, status: number, body?: unknown) =>
    classifyFailure(API_VERSIONS.v3.failures, on, status, body);

  it.each([
    ['a proxy that has no server behind it', 502, 'gatewayFailure'],
    ['a proxy that waited too long', 504, 'gatewayFailure'],
    ['a redirect', 301, 'notInfisical'],
    ['a failure page', 500, 'gatewayFailure'],
    ['a page with 200', 200, 'notInfisical'],
    ['a refusal of the bearer by something in front', 401, 'notInfisical'],
  ] as const)('%s', (_title, status, reason) => {
    expect(of('listSecrets', status)).toBe(reason);
  });

  it('in the form of Infisical', () => {
    expect(of('listSecrets', 418, { statusCode: 418, error: 'Teapot', message: '' })).toBe('notUnderstood');
    expect(of('listSecrets', 200, { secrets: 1 })).toBe('unexpectedAnswer');
  });

  it('with a message in another form', () => {
    expect(of('createSecret', 500, { error: ['x'], message: { text: 'x' } })).toBe('gatewayFailure');
    expect(of('createSecret', 503, { error: 'Service Unavailable', message: 'migrating' })).toBe(
      'gatewayFailure',
    );
  });

  it('a status alone never decides', () => {
    const { failures } = API_VERSIONS.fork;
    const texts = ['PermissionDenied', 'UnauthorizedError', 'ValidationFailure', 'Identity not in project'];
    const reasons = texts.flatMap((error) =>
      [401, 403].map((status) => classifyFailure(failures, 'listSecrets', status, { error, message: '' })),
    );
    expect(reasons).toEqual([
      'permissionDenied',
      'notUnderstood',
      'notUnderstood',
      'tokenDead',
      'notUnderstood',
      'invalidRequest',
      'notUnderstood',
      'notAMember',
    ]);
  });
});

/** Status, error and message, without the ids, names and addresses in them. */
function kindOf({ status, answer }: Recorded): string {
  const { error, message } = (answer ?? {}) as { error?: unknown; message?: unknown };
  return `${status} | ${plain(error)} | ${Array.isArray(message) ? '[issues]' : plain(message)}`;
}

function plain(text: unknown): string {
  return (typeof text === 'string' ? text : '–')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replace(/'[^']*'/g, "'…'")
    .replace(/slug "[^"]*"/g, 'slug "…"')
    .replace(/^Route [\s\S]*/, 'Route …')
    .replace(/(access to |^)\/api\S*/, '$1…')
    .replace(/(blind index |exist: |with name )[\w]+/, '$1…');
}
