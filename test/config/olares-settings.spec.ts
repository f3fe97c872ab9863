import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { EnvironmentReader } from '../../src/config/environment-reader';
import { staticGrants } from '../../src/config/olares-settings';

const FRONTEND = {
  serviceAccount: 'user-space-<user>:system-frontend',
  workspaces: ['settings', 'dashboard'],
  operations: ['RetrieveSecret', 'ListSecret'],
};
const INTEGRATION = {
  serviceAccount: 'os-protected:infisical-sa',
  userFrom: 'X-BFL-USER',
  userToken: 'optional',
  responseStyle: 'sidecar',
  workspaces: ['settings'],
  operations: ['RetrieveSecret'],
};

function read(text: string | undefined) {
  const reader = new EnvironmentReader({ STATIC_GRANTS: text });
  return { grants: staticGrants(reader), problems: reader.problems };
}
const problemsOf = (...entries: unknown[]) => read(JSON.stringify(entries)).problems;

describe('STATIC_GRANTS', () => {
  it('is empty by default', () => {
    expect(read(undefined)).toEqual({ grants: [], problems: [] });
    expect(read('[]')).toEqual({ grants: [], problems: [] });
  });

  it('is a list in JSON or YAML, and an entry needs a user token and is for the user of its namespace unless it says otherwise', () => {
    const wanted = {
      grants: [
        {
          account: { namespace: 'user-space-<user>', name: 'system-frontend' },
          userFrom: 'namespace',
          userTokenRequired: true,
          workspaces: ['settings', 'dashboard'],
          operations: ['RetrieveSecret', 'ListSecret'],
        },
        {
          account: { namespace: 'os-protected', name: 'infisical-sa' },
          userFrom: 'X-BFL-USER',
          userTokenRequired: false,
          responseStyle: 'sidecar',
          workspaces: ['settings'],
          operations: ['RetrieveSecret'],
        },
      ],
      problems: [],
    };
    expect(read(JSON.stringify([FRONTEND, INTEGRATION]))).toEqual(wanted);
    expect(
      read(`
- serviceAccount: user-space-<user>:system-frontend
  workspaces: [settings, dashboard]
  operations: [RetrieveSecret, ListSecret]
- { serviceAccount: 'os-protected:infisical-sa', userFrom: X-BFL-USER, userToken: optional,
    responseStyle: sidecar, workspaces: [settings], operations: [RetrieveSecret] }`),
    ).toEqual(wanted);
  });

  it('may do without the user token beside the account’s own token alone', () => {
    const { grants, problems } = read(JSON.stringify([{ ...FRONTEND, userToken: 'unless-own-token' }]));
    expect(problems).toEqual([]);
    expect(grants).toMatchObject([{ userTokenRequired: true, ownTokenSuffices: true }]);
  });

  it('knows the five operations of the service and no other', () => {
    expect(problemsOf({ ...FRONTEND, operations: SECRET_OPERATIONS })).toEqual([]);
  });

  it.each([
    'x: 1',
    'text',
    '[',
    '- &a {}\n- *a',
    `["${'x'.repeat(65_536)}"]`,
    JSON.stringify(Array(101).fill({})),
  ])('is one problem where it is no good list at all (%#)', (text) => {
    expect(read(text)).toEqual({
      grants: [],
      problems: ['STATIC_GRANTS must be a YAML or JSON list of at most 100 entries, without aliases'],
    });
  });

  it.each<[string, object | null, string]>([
    ['no object', null, 'STATIC_GRANTS[0] must have the fields'],
    ['another field', { ...FRONTEND, user: 'canary' }, 'STATIC_GRANTS[0] must have no other fields'],
    ['no namespace', { ...FRONTEND, serviceAccount: 'canary' }, '.serviceAccount must be'],
    ['a namespace of any user', { ...FRONTEND, serviceAccount: '<user>:canary' }, '.serviceAccount must be'],
    ['two users', { ...FRONTEND, serviceAccount: '<user>-<user>:canary' }, '.serviceAccount must be'],
    [
      'a user that does not end it',
      { ...FRONTEND, serviceAccount: 'a-<user>-b:canary' },
      '.serviceAccount must',
    ],
    ['a user in the name', { ...FRONTEND, serviceAccount: 'os-x:<user>' }, '.serviceAccount must be'],
    [
      'a shared namespace that is for no user',
      { ...FRONTEND, serviceAccount: 'os-x:canary' },
      '.userFrom must be X-BFL-USER',
    ],
    [
      'a user’s namespace that may name others',
      { ...FRONTEND, userFrom: 'X-BFL-USER' },
      '.userFrom must be namespace where',
    ],
    ['another source of the user', { ...INTEGRATION, userFrom: 'canary' }, '.userFrom must be namespace or'],
    ['another need of a token', { ...FRONTEND, userToken: false }, '.userToken must be'],
    ['another style', { ...FRONTEND, responseStyle: 'canary' }, '.responseStyle must be'],
    ['no workspaces', { ...FRONTEND, workspaces: [] }, '.workspaces must be'],
    ['all workspaces', { ...FRONTEND, workspaces: '*' }, '.workspaces must be'],
    ['a workspace that is none', { ...FRONTEND, workspaces: ['settings', '*'] }, '.workspaces must be'],
    ['no operations', { ...FRONTEND, operations: undefined }, '.operations must be'],
    ['all operations', { ...FRONTEND, operations: ['*'] }, '.operations must be'],
    ['an operation in small letters', { ...FRONTEND, operations: ['retrievesecret'] }, '.operations must be'],
  ])('refuses an entry with %s, and says where, never what', (_, entry, problem) => {
    const problems = problemsOf(entry);
    expect(problems).toEqual([expect.stringContaining(problem)]);
    expect(problems.join()).not.toContain('canary');
    expect(read(JSON.stringify([entry])).grants).toEqual([]);
  });

  it('reports every problem of every entry at once, also an account that is there twice', () => {
    expect(problemsOf({ ...FRONTEND, workspaces: [], operations: [] }, INTEGRATION, INTEGRATION)).toEqual([
      expect.stringContaining('STATIC_GRANTS[0].workspaces'),
      expect.stringContaining('STATIC_GRANTS[0].operations'),
      expect.stringContaining('STATIC_GRANTS[2].serviceAccount'),
    ]);
  });
});
