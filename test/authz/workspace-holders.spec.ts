import { type Claim, WorkspaceHolders } from '../../src/authz/workspace-holders';

const holder = (app: string, installedAtMs: number, source = `of-${app}`): Claim => ({
  source,
  installedAtMs,
  installed: {
    app,
    user: 'alice',

    grants: new Set(['ListSecret?workspace=desk']),
  },
});

describe('the holders of a workspace', () => {
  it('are in the order of their installation, in whatever order they were read', () => {
    const apps = [holder('c', 30), holder('a', 20), holder('b', 10)];
    for (const order of [apps, [...apps].reverse()]) {
      const holders = new WorkspaceHolders();
      for (const one of order) holders.add(one);
      expect(holders.appsOn('alice', 'desk')).toEqual(['b', 'a', 'c']);
    }
  });

  it('that came in the same second are ordered alike on every replica', () => {
    const apps = [holder('a', 10, 'z'), holder('b', 10, 'y')];
    for (const order of [apps, [...apps].reverse()]) {
      const holders = new WorkspaceHolders();
      for (const one of order) holders.add(one);
      expect(holders.appsOn('alice', 'desk')).toEqual(['b', 'a']);
    }
  });

  it('are not several where one app was read twice', () => {
    const holders = new WorkspaceHolders();
    holders.add(holder('a', 10, 'z'));
    holders.add(holder('a', 20, 'y'));
    expect(holders.sharedWorkspaces()).toEqual([]);
  });
});
