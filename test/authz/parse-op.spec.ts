import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { parseOp } from '../../src/authz/sys-data';

describe('parseOp', () => {
  it.each(SECRET_OPERATIONS)('takes %s on a stated workspace', (operation) => {
    expect(parseOp(`${operation}?workspace=desk`, 'notes')).toEqual({ operation, workspace: 'desk' });
  });

  it.each(SECRET_OPERATIONS)('takes a bare %s for the workspace named like the app', (operation) => {
    expect(parseOp(operation, 'notes')).toEqual({ operation, workspace: 'notes' });
  });

  it.each(['a', '0', 'A.b_c-d', 'x'.repeat(63)])('takes the workspace %s as it is written', (workspace) => {
    expect(parseOp(`ListSecret?workspace=${workspace}`, 'notes')).toEqual({
      operation: 'ListSecret',
      workspace,
    });
  });

  it.each([
    'All',
    '',
    '*',
    'GET',
    'listsecret',
    'ListSecrets',
    ' ListSecret',
    'ListSecret ',
    'ListSecret\n',
    '/ListSecret',
    'constructor',
    '__proto__',
    'ListSecret#',
    'ListSecret&workspace=a',
    'ListSecret/workspace=a',
    '?workspace=a',
  ])('grants nothing for the unknown operation %j', (entry) => {
    expect(parseOp(entry, 'notes')).toEqual({ problem: expect.stringContaining('the operation is none of') });
  });

  it.each([
    'ListSecret?',
    'ListSecret?workspace',
    'ListSecret?env=dev',
    'ListSecret?workspace=a&env=dev',
    'ListSecret?&',
    'ListSecret?env=dev&workspace=a',
    'ListSecret?workspace=a&workspace=a',
    'ListSecret?workspace=a&',
    'ListSecret?&workspace=a',
    'ListSecret?Workspace=a',
    'ListSecret? workspace=a',
    'ListSecret?workspace =a',
    'ListSecret??workspace=a',
    'ListSecret?=a',
  ])('grants nothing for the query of %j', (entry) => {
    expect(parseOp(entry, 'notes')).toEqual({
      problem: expect.stringContaining('exactly one workspace=<name>'),
    });
  });

  it.each([
    '',
    '*',
    '.',
    '..',
    '.a',
    '-a',
    '_a',
    'a/b',
    'a b',
    'a ',
    ' a',
    'a\n',
    'a\u0000',
    'a?b',
    'a=b',
    'a#b',
    'a;b',
    '%61',
    'a%2Fb',
    'a+b',
    'ä',
    'a\u200b',
    'x'.repeat(64),
    '{{',
    '$x',
  ])('grants nothing for the workspace %j', (workspace) => {
    expect(parseOp(`ListSecret?workspace=${workspace}`, 'notes')).toEqual({
      problem: expect.stringContaining('the workspace must be'),
    });
  });

  it.each([undefined, null, 1, true, {}, ['ListSecret'], { name: 'ListSecret' }, Symbol('ListSecret')])(
    'grants nothing for %p, which is not text',
    (entry) => {
      expect(parseOp(entry, 'notes')).toEqual({ problem: 'an op must be text' });
    },
  );

  it.each(['', 'a b', '.hidden', 'x'.repeat(64), 'a/b'])(
    'grants nothing for a bare op of an app whose name %j cannot be a workspace',
    (app) => {
      expect(parseOp('ListSecret', app)).toEqual({ problem: expect.stringContaining('a bare op means') });
    },
  );

  it('shortens what it repeats', () => {
    const parsed = parseOp('x'.repeat(10_000), 'notes');
    expect(JSON.stringify(parsed).length).toBeLessThan(300);
  });
});
