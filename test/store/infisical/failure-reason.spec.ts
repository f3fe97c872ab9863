import { DIALECTS, type CallName } from '../../../src/store/infisical/dialect';
import { classifyFailure } from '../../../src/store/infisical/failure-reason';
import { callNameOf, recordings, type Recorded } from '../../support/fake-infisical/recordings';
import { FAILURES } from './recorded-failures';

const failuresOf = (dialect: 'v3' | 'fork') =>
  recordings(dialect).filter((entry) => entry.lost === undefined && entry.status >= 300);

const reasonOf = (dialect: 'v3' | 'fork', entry: Recorded) =>
  classifyFailure(DIALECTS[dialect].failures, callNameOf(entry, dialect), entry.status, entry.answer);

describe.each(['v3', 'fork'] as const)('the failures that %s was recorded with', (dialect) => {
  it('are all understood', () => {
    const notUnderstood = failuresOf(dialect).filter((entry) => reasonOf(dialect, entry) === 'notUnderstood');
    expect(notUnderstood.map(({ at, name, status, answer }) => ({ at, name, status, answer }))).toEqual([]);
    expect(failuresOf(dialect).length).toBeGreaterThan(200);
  });

  it('have the reasons that a person gave them', () => {
    const found = failuresOf(dialect).map((entry) => `${reasonOf(dialect, entry)} | ${kindOf(entry)}`);
    expect([...new Set(found)].sort()).toEqual([...FAILURES[dialect]].sort());
  });
});

describe('a failure that was never recorded', () => {
  const of = (on: CallName, status: number, body?: unknown) =>
    classifyFailure(DIALECTS.v3.failures, on, status, body);

  it.each([
    ['a proxy that has no server behind it', 502, 'gatewayFailure'],
    ['a proxy that waited too long', 504, 'gatewayFailure'],
    ['a redirect', 301, 'unexpectedAnswer'],
    ['a failure page', 500, 'gatewayFailure'],
    ['an unknown refusal', 418, 'notUnderstood'],
    ['a refusal of the bearer by something in front', 401, 'notUnderstood'],
  ] as const)('%s', (_title, status, reason) => {
    expect(of('listSecrets', status)).toBe(reason);
  });

  it('with a message in another form', () => {
    expect(of('createSecret', 500, { error: ['x'], message: { text: 'x' } })).toBe('gatewayFailure');
    expect(of('createSecret', 503, { error: 'Service Unavailable', message: 'migrating' })).toBe(
      'gatewayFailure',
    );
  });

  it('a status alone never decides', () => {
    const { failures } = DIALECTS.fork;
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
    .replace(/^Route [\s\S]*/, 'Route …')
    .replace(/(access to |^)\/api\S*/, '$1…')
    .replace(/(blind index |exist: |with name )[\w]+/, '$1…');
}
