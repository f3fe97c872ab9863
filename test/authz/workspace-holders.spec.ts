import { type Claim, WorkspaceHolders } from '../../src/authz/grant';

const holder = (app: string, installedAtMs: number, source = `of-${app}`): Claim => ({
  source,
  installedAtMs,
  installed: {
    app,
    user: 'alice',

    grants: new Set(['ListSecret?workspace=desk']),
  },
});

describe('WorkspaceHolders', () => {
  it('returns the apps in the order of their installation, whatever the order of reading', () => {
    const apps = [holder('c', 30), holder('a', 20), holder('b', 10)];
    for (const order of [apps, [...apps].reverse()]) {
      const holders = new WorkspaceHolders();
      for (const one of order) holders.add(one);
      expect(holders.appsOn('alice', 'desk')).toEqual(['b', 'a', 'c']);
    }
  });

  it('orders apps of the same second alike on every replica', () => {
    const apps = [holder('a', 10, 'z'), holder('b', 10, 'y')];
    for (const order of [apps, [...apps].reverse()]) {
      const holders = new WorkspaceHolders();
      for (const one of order) holders.add(one);
      expect(holders.appsOn('alice', 'desk')).toEqual(['b', 'a']);
    }
  });

  it('does not count an app twice that was read twice', () => {
    const holders = new WorkspaceHolders();
    holders.add(holder('a', 10, 'z'));
    holders.add(holder('a', 20, 'y'));
    expect(holders.sharedWorkspaces()).toEqual([]);
  });
});
