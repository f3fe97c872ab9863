import { mayServeStaleAfter, StoreUnavailable, StoreUnreachable } from '../../../src/errors/store-errors';
import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import {
  type CallName,
  classifyFailure,
  type FailureReason,
} from '../../../src/stores/infisical/versions/calls';
import { InfisicalCallFailed } from '../../../src/stores/infisical/versions/infisical-call-failed';
import { notReadyBecause, storeErrorAfter } from '../../../src/stores/infisical/operations';

/** What the cache does after a failure of this reason: `asked` stands for an Infisical that was asked, and answered. */
const AFTER: Readonly<Record<FailureReason, 'served stale' | 'asked'>> = {
  // "does not answer": nothing was said about what it holds, or whether we may see it.
  unreachable: 'served stale',
  connectionLost: 'served stale',
  timedOut: 'served stale',
  outOfTime: 'served stale',
  tlsFailed: 'served stale',
  'certificate:unknownAuthority': 'served stale',
  'certificate:wrongHost': 'served stale',
  'certificate:expired': 'served stale',
  'certificate:notYetValid': 'served stale',
  'certificate:refused': 'served stale',
  proxyFailed: 'served stale',
  proxyRefused: 'served stale',
  // It was never asked.
  serviceAccountTokenUnreadable: 'served stale',
  // "answers with 5xx or 429".
  serverFailure: 'served stale',
  gatewayFailure: 'served stale',
  // What stands in front of it answered in its place.
  notInfisical: 'served stale',
  rateLimited: 'served stale',
  // "once Infisical itself refused (401, 403)".
  credentialsRefused: 'asked',
  tokenDead: 'asked',
  permissionDenied: 'asked',
  notAMember: 'asked',
  // "or said that there is nothing (404)".
  'notFound:secret': 'asked',
  'notFound:environment': 'asked',
  'notFound:project': 'asked',
  routeNotFound: 'asked',
  // Other words of Infisical's about the request.
  'alreadyExists:secret': 'asked',
  'alreadyExists:environment': 'asked',
  'alreadyExists:project': 'asked',
  environmentHeld: 'asked',
  conflict: 'asked',
  invalidRequest: 'asked',
  nameRefused: 'asked',
  tooLarge: 'asked',
  // An answer came, of which it is not known what it says: it may be a refusal.
  notUnderstood: 'asked',
  unexpectedAnswer: 'asked',
  answerTooLarge: 'asked',
};

const failed = (reason: FailureReason): InfisicalCallFailed =>
  new InfisicalCallFailed({ call: 'listSecrets', method: 'GET', pathTemplate: '/list', reason });

const afterAnswer = (apiVersion: keyof typeof API_VERSIONS, status: number, body: unknown) =>
  (Object.keys(API_VERSIONS[apiVersion].routes) as CallName[]).map((call) => {
    const error = storeErrorAfter(
      failed(classifyFailure(API_VERSIONS[apiVersion].failures, call, status, body)),
    );
    return mayServeStaleAfter(error) ? 'served stale' : 'asked';
  });

describe.each(Object.entries(AFTER) as [FailureReason, string][])(
  'a read that fails by %s',
  (reason, after) => {
    it(`is one that is ${after}`, () => {
      expect(mayServeStaleAfter(storeErrorAfter(failed(reason)))).toBe(after === 'served stale');
    });

    it('leaves readiness good as long as cached entries may be served, and only then', () => {
      const error = notReadyBecause(failed(reason));
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect(error instanceof StoreUnreachable).toBe(after === 'served stale');
    });
  },
);

describe.each(['fork', 'v3', 'v4'] as const)('an answer of %s', (apiVersion) => {
  const page = '<html></html>';

  it.each([401, 403, 404])(
    'with %d in the form of Infisical lets nothing stale be served, in whatever words; a page of something in front does',
    (status) => {
      const worded = API_VERSIONS[apiVersion].failures
        .filter((rule) => rule.status === status)
        .map(({ reason }) => storeErrorAfter(failed(reason)));
      expect(worded.filter(mayServeStaleAfter)).toEqual([]);
      const words = { statusCode: status, error: 'x', message: 'y' };
      expect(new Set(afterAnswer(apiVersion, status, words))).toEqual(new Set(['asked']));
      for (const body of [undefined, page, {}])
        expect(new Set(afterAnswer(apiVersion, status, body))).toEqual(new Set(['served stale']));
    },
  );

  // docs/cache.md: "where something in front of it answers in its place".
  it.each([200, 302])('with %d that is not of its route allows stale entries to be served', (status) => {
    for (const body of [undefined, {}, { status: 'maintenance' }, ['secrets'], 'secrets'])
      expect(new Set(afterAnswer(apiVersion, status, body))).toEqual(new Set(['served stale']));
  });

  it("with 200 that has its route's own field in another form is Infisical's", () => {
    const fields = ['accessToken', 'identity', 'project', 'workspace', 'workspaces', 'environment', 'secrets', 'secret']; // prettier-ignore
    const body = Object.fromEntries(fields.map((field) => [field, 'x']));
    expect(new Set(afterAnswer(apiVersion, 200, body))).toEqual(new Set(['asked']));
  });

  it.each([429, 500, 501, 502, 503, 504])('with %d allows stale entries to be served', (status) => {
    for (const body of [undefined, page, {}, { statusCode: status, error: 'x', message: 'y' }])
      expect(new Set(afterAnswer(apiVersion, status, body))).toEqual(new Set(['served stale']));
  });
});

describe('a 500 that means a refusal', () => {
  it.each([
    ['fork', 'Internal Server Error', 'jwt expired'],
    ['fork', 'Failed to find project by id', 'x'],
    ['v3', 'Failed to find project by id', 'x'],
  ] as const)('is one all the same (%s: %s, %s)', (apiVersion, error, message) => {
    expect(new Set(afterAnswer(apiVersion, 500, { error, message }))).toEqual(new Set(['asked']));
  });
});

describe('a refusal for the rate', () => {
  it.each([
    [undefined, 60],
    [1, 1],
    [0, 1],
    [1_001, 2],
  ])('that names %p ms as the wait asks for %d seconds', (retryAfterMs, seconds) => {
    const { call, method, pathTemplate, reason } = failed('rateLimited');
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
    const error = storeErrorAfter(new InfisicalCallFailed({ call, method, pathTemplate, reason, ...wait }));
    expect(error).toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryAfterSeconds: seconds });
  });
});
