import { GrantIndex } from '../../src/authz/grant-index';
import type { InstalledApp } from '../../src/authz/grant';

const LIST = 'ListSecret?workspace=notes';
const CREATE = 'CreateSecret?workspace=notes';
const READ = 'RetrieveSecret?workspace=desk';

function notes(grants: readonly string[], more: Partial<InstalledApp> = {}): InstalledApp {
  return { app: 'notes', user: 'alice', grants: new Set(grants), ...more };
}

describe('an index of grants', () => {
  let told: string[];
  let index: GrantIndex;
  beforeEach(() => {
    told = [];
    index = new GrantIndex((user, app) => told.push(`${user} ${app}: ${grants()}`));
  });
  const grants = (): string => [...(index.find('alice', 'notes')?.grants ?? ['none'])].sort().join(' ');

  it('unites what resources of different kinds state of one app', () => {
    index.put('a', notes([LIST], { appKey: 'key', appSecret: 'secret' }), 0, 'ApplicationPermission');
    index.put('b', notes([CREATE], { namespace: 'notes-alice', serviceAccount: 'app' }), 0, 'ConfigMap');
    expect(index.find('alice', 'notes')).toEqual({
      app: 'notes',
      user: 'alice',
      appKey: 'key',
      appSecret: 'secret',
      namespace: 'notes-alice',
      serviceAccount: 'app',
      grants: new Set([LIST, CREATE]),
    });
    expect(index.findByKey('key')).toBe(index.find('alice', 'notes'));
    expect(index.size).toBe(1);
    index.remove('a');
    expect(grants()).toBe(LIST.replace('List', 'Create'));
    expect(index.findByKey('key')).toBeUndefined();
    index.remove('b');
    expect(index.find('alice', 'notes')).toBeUndefined();
  });

  it('serves none of two resources of one kind for one app, and still what another kind states', () => {
    index.put('a', notes([LIST]), 0, 'ConfigMap');
    index.put('b', notes([CREATE]), 0, 'ApplicationManager');
    index.put('c', notes([READ]), 0, 'ConfigMap');
    expect(grants()).toBe(CREATE);
    expect(index.problems().map(({ source }) => source)).toEqual(['a', 'c']);
    index.remove('a');
    expect(grants()).toBe(`${CREATE} ${READ}`);
    expect(index.problems()).toEqual([]);
  });

  it('does not let a resource of another kind take an app key', () => {
    index.put('a', notes([LIST], { appKey: 'key', appSecret: 'secret' }), 0, 'ApplicationPermission');
    index.put('b', { ...notes([LIST], { appKey: 'key', appSecret: 'other' }), app: 'thief' }, 0, 'ConfigMap');
    expect(index.findByKey('key')).toBeUndefined();
    expect(index.size).toBe(0);
  });

  it('finds the app that a key passed to', () => {
    const thief = { ...notes([READ], { appKey: 'key', appSecret: 's' }), app: 'thief' };
    index.put('a', notes([LIST], { appKey: 'key', appSecret: 's' }));
    index.put('b', thief);
    index.put('a', notes([LIST], { appKey: 'other', appSecret: 's' }));
    expect(index.findByKey('key')?.app).toBe('thief');
    expect(index.findByKey('other')?.app).toBe('notes');
    index.remove('b');
    expect(index.findByKey('key')).toBeUndefined();
  });

  it('takes nothing for pending that another kind grants', () => {
    index.put('a', notes([LIST], { pending: new Set([READ, CREATE]) }), 0, 'ConfigMap');
    expect(index.find('alice', 'notes')?.pending).toEqual(new Set([READ, CREATE]));
    index.put('b', notes([READ]), 0, 'ApplicationPermission');
    expect(index.find('alice', 'notes')?.pending).toEqual(new Set([CREATE]));
  });

  it('takes the ServiceAccount from the same kind whatever came first', () => {
    const [manager, manifest] = [
      notes([], { serviceAccount: 'manager' }),
      notes([], { serviceAccount: 'manifest' }),
    ];
    index.put('b', manifest, 0, 'ConfigMap');
    index.put('a', manager, 0, 'ApplicationManager');
    expect(index.find('alice', 'notes')?.serviceAccount).toBe('manager');
    index.put('b', manifest, 0, 'ConfigMap');
    expect(index.find('alice', 'notes')?.serviceAccount).toBe('manager');
  });

  it('tells of each change once, when it is in force, and of nothing that stays as it was', () => {
    index.put('a', notes([LIST]));
    index.put('a', notes([LIST]));
    index.put('a', notes([LIST, CREATE]));
    index.put('b', notes([READ]));
    index.remove('b');
    index.withhold('a', undefined);
    index.remove('a');
    expect(told).toEqual([
      `alice notes: ${LIST}`,
      `alice notes: ${CREATE} ${LIST}`,
      'alice notes: none',
      `alice notes: ${CREATE} ${LIST}`,
      'alice notes: none',
    ]);
  });

  it('tells of another app too that a conflict of keys takes out', () => {
    index.put('a', notes([LIST], { appKey: 'key', appSecret: 's' }));
    told.splice(0);
    index.put('b', { ...notes([READ], { appKey: 'key', appSecret: 's' }), app: 'thief' });
    expect(told).toEqual(['alice notes: none']);
  });

  it('names in a problem what conflicts and with whom, in the order of the sources', () => {
    index.put('c', notes([LIST], { appKey: 'key' }));
    index.put('a', notes([READ]));
    index.put('b', { ...notes([READ], { appKey: 'key' }), app: 'thief' });
    const reason = (what: string, others: string) => `the same ${what} as ${others}; none of them is served`;
    expect(index.problems()).toEqual([
      { source: 'a', reason: reason('app and user', 'c'), servedFromLastGood: false },
      { source: 'b', reason: reason('app key', 'c'), servedFromLastGood: false },
      { source: 'c', reason: reason('app and user', 'a'), servedFromLastGood: false },
      { source: 'c', reason: reason('app key', 'b'), servedFromLastGood: false },
    ]);
  });

  it('names five sources of a conflict at most, and counts the others', () => {
    const reasonOf = (source: string) => index.problems().find((one) => one.source === source)?.reason;
    for (const source of ['a', 'b', 'c', 'd', 'e', 'f']) index.put(source, notes([LIST]));
    expect(reasonOf('a')).toBe('the same app and user as b, c, d, e, f; none of them is served');
    for (const source of ['g', 'h']) index.put(source, notes([LIST]));
    expect(reasonOf('a')).toBe('the same app and user as b, c, d, e, f and 2 more; none of them is served');
  });

  it('sees no conflict between apps that have no key', () => {
    index.put('c', { ...notes([LIST], { appKey: '' }), app: 'chat' });
    index.put('a', notes([LIST]));
    index.put('b', { ...notes([LIST]), app: 'mail' });
    expect([index.size, index.problems()]).toEqual([3, []]);
  });

  it('counts what is pending, whatever is put and removed', () => {
    index.put('a', notes([LIST], { pending: new Set([READ, CREATE]) }));
    index.put('b', { ...notes([LIST], { pending: new Set([READ]) }), app: 'mail' });
    expect(index.pendingGrants).toBe(3);
    index.put('a', notes([LIST], { pending: new Set([READ]) }));
    expect(index.pendingGrants).toBe(2);
    index.remove('b');
    expect(index.pendingGrants).toBe(1);
    index.remove('a');
    expect(index.pendingGrants).toBe(0);
  });

  it('keeps the workspaces of an app that it withholds, until its source is gone or put again', () => {
    index.put('a', notes([READ]), 1);
    index.put('b', { ...notes([READ]), app: 'mail' }, 2);
    expect(index.holders.appsOn('alice', 'desk')).toEqual(['notes', 'mail']);
    expect(index.withhold('a', undefined)).toBe(true);
    expect(index.find('alice', 'notes')).toBeUndefined();
    expect(index.withhold('a', undefined)).toBe(false);
    expect(index.holders.appsOn('alice', 'desk')).toEqual(['notes', 'mail']);
    expect(index.holders.sharedWorkspaces()).toEqual([
      { user: 'alice', workspace: 'desk', apps: ['notes', 'mail'] },
    ]);
    index.put('a', notes([LIST]), 1);
    expect(index.holders.appsOn('alice', 'desk')).toEqual(['mail']);
    index.withhold('a', undefined);
    index.remove('a');
    expect(index.holders.appsOn('alice', 'notes')).toEqual([]);
  });

  it('withholds a source by the claim that it is given, also one that was never served', () => {
    const claim = { installed: notes([READ]), installedAtMs: 1 };
    expect(index.withhold('a', claim)).toBe(false);
    expect(index.holders.appsOn('alice', 'desk')).toEqual(['notes']);
    index.withhold('a', { ...claim, installed: notes([LIST]) });
    expect([index.holders.appsOn('alice', 'desk'), index.holders.appsOn('alice', 'notes')]).toEqual([
      [],
      ['notes'],
    ]);
    expect(index.withhold('b', undefined)).toBe(false);
    expect(index.size).toBe(0);
  });

  it('lists the shared workspaces anew only after a change of one of them', () => {
    const { holders } = index;
    index.put('a', notes([READ]), 1);
    const none = holders.sharedWorkspaces();
    expect(none).toEqual([]);
    index.put('b', { ...notes([READ]), app: 'mail' }, 2);
    const shared = holders.sharedWorkspaces();
    expect(shared).toEqual([{ user: 'alice', workspace: 'desk', apps: ['notes', 'mail'] }]);
    index.put('c', { ...notes([LIST]), app: 'chat' }, 3);
    expect(holders.sharedWorkspaces()).toBe(shared);
    index.put('d', { ...notes([READ]), app: 'chess' }, 4);
    expect(holders.sharedWorkspaces()[0]?.apps).toEqual(['notes', 'mail', 'chess']);
    index.remove('d');
    expect(holders.sharedWorkspaces()).toEqual(shared);
    index.remove('b');
    expect(holders.sharedWorkspaces()).toEqual([]);
  });
});
