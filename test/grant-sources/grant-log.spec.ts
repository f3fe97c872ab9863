import { GrantLog } from '../../src/grant-sources/grant-log';
import type { GrantSourceStatus } from '../../src/authz/grant-source';

const status = (count: number): GrantSourceStatus => ({
  ready: true,
  installedApps: 1,
  problems: Array.from({ length: count }, (_, at) => ({
    source: `s-${at}`,
    reason: 'is missing',
    servedFromLastGood: false,
  })),
});

describe('the log of grants', () => {
  const told: string[] = [];
  const log = new GrantLog((_, event, fields) => void told.push(`${event} ${JSON.stringify(fields)}`));
  beforeEach(() => told.splice(0));

  it('names a hundred problems of one change and counts the rest', () => {
    log.status(status(1_000), status(0));
    expect(told).toHaveLength(101);
    expect(told[0]).toBe('grants_problem {"source":"s-0","reason":"is missing","servedFromLastGood":false}');
    expect(told[100]).toBe('grants_problems_omitted {"leftOff":900}');
  });

  it('tells no more than a hundred times that one is solved, and nothing where nothing changed', () => {
    log.status(status(0), status(1_000));
    expect(told).toHaveLength(100);
    told.splice(0);
    log.status(status(1_000), status(1_000));
    expect(told).toEqual([]);
  });

  it.each([
    ['shared', 'workspace_shared', 'workspaces_shared_omitted', true],
    ['shared no longer', 'workspace_shared_ended', 'workspaces_shared_ended_omitted', false],
  ])('names twenty workspaces that are %s and counts the rest', (_, event, omitted, begins) => {
    const workspaces = Array.from({ length: 1_000 }, (_one, at) => ({
      user: 'alice',
      workspace: `w-${at}`,
      apps: [],
    }));
    if (begins) log.sharing(workspaces, []);
    else log.sharing([], workspaces);
    expect(told).toHaveLength(21);
    expect(told[0]).toContain(`${event} {"user":"alice","workspace":"w-0"`);
    expect(told[20]).toBe(`${omitted} {"leftOff":980}`);
  });
});
