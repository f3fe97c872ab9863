import { outcome } from '../../conformance/secret-store.conformance';
import type { AnswerFault } from '../../support/fake-infisical/fake-faults';
import { at, openStore, type Opened } from './opened-store';

const DELETE = {
  fork: '/api/v1/workspace/{projectId}',
  v3: '/api/v1/workspace/{projectId}',
  v4: '/api/v1/projects/{projectId}',
};

// v4 as its documents describe it.
describe.each(['v3', 'fork', 'v4'] as const)("a user's projects (%s)", (apiVersion) => {
  const template = DELETE[apiVersion];
  let opened: Opened;
  let workspace: string;
  beforeEach(async () => {
    opened = await openStore({ apiVersion });
    await opened.store.create(at('w'), { name: 'k', value: 'v' });
    const [found] = await opened.store.workspacesOf(at('w').user);
    if (found === undefined) throw new Error('no workspace');
    workspace = found;
  });
  const fail = (fault: AnswerFault, times = 1) =>
    opened.fake.fail({ method: 'DELETE', template, fault, times });
  const deletes = () => opened.fake.count('DELETE', template);
  const answer = (statusCode: number, error: string, message: string): AnswerFault => ({
    kind: 'answer',
    status: statusCode,
    body: { statusCode, error, message },
  });

  it.each<[string, AnswerFault]>([
    ['the answer is lost', { kind: 'reset', when: 'after' }],
    ['the connection breaks before', { kind: 'reset', when: 'before' }],
    ['the answer is cut', { kind: 'truncate', when: 'after' }],
    ['another instance is faster', answer(500, 'Internal Server Error', 'Something went wrong')],
  ])('are gone after a removal where %s, for it is asked for once more', async (_, fault) => {
    fail(fault);
    await opened.store.removeWorkspace(workspace);
    expect(deletes()).toBe(2);
    expect(opened.fake.world.projects).toEqual([]);
  });

  it('are looked for without making one, also by an instance that was just started', async () => {
    const fresh = opened.another();
    const seen = await outcome(fresh.workspacesOf('nobody'));
    expect(seen).toBe(apiVersion === 'v4' ? 'done' : 'STORE_UNAVAILABLE');
    await fresh.list(at('w'));
    expect(await fresh.workspacesOf('nobody')).toEqual([]);
    expect(await fresh.workspacesOf(at().user)).toEqual([workspace]);
    expect(opened.fake.world.projects).toHaveLength(1);
  });

  it('are not deleted by an id that would leave its place in the path', async () => {
    const listed = apiVersion === 'v4' ? '/api/v1/projects' : '/api/v2/organizations/{orgId}/workspaces';
    const rows = [{ id: '..', slug: opened.fake.world.projects[0]?.slug, environments: [] }];
    const fault = { kind: 'answer', status: 200, body: { workspaces: rows } } as const;
    opened.fake.fail({ method: 'GET', template: listed, fault });
    expect(await outcome(opened.store.workspacesOf(at().user))).toBe('STORE_UNAVAILABLE');
  });

  it('are deleted by one call, when several at once ask for it', async () => {
    await Promise.all(Array.from({ length: 4 }, () => opened.store.removeWorkspace(workspace)));
    expect(deletes()).toBe(1);
  });

  it('stay due where the identity is no member any more, until it is one again', async () => {
    const [project] = opened.fake.world.projects;
    const members = new Map(project?.members);
    project?.members.clear();
    expect(await opened.store.workspacesOf(at().user)).toEqual([workspace]);
    expect(await outcome(opened.store.removeWorkspace(workspace))).toBe('STORE_UNAVAILABLE');
    expect(opened.fake.world.projects).toHaveLength(1);
    expect(await opened.store.workspacesOf(at().user)).toEqual([workspace]);
    expect(await opened.store.workspacesOf('somebody-else')).toEqual([]);
    for (const [id, role] of members) project?.members.set(id, role);
    await opened.store.removeWorkspace(workspace);
    expect(await opened.store.workspacesOf(at().user)).toEqual([]);
    expect(opened.fake.world.projects).toEqual([]);
  });

  it('are gone where another instance removed what this one had found', async () => {
    await opened.another().removeWorkspace(workspace);
    for (const found of await opened.store.workspacesOf(at().user)) await opened.store.removeWorkspace(found);
    expect(await opened.store.workspacesOf(at().user)).toEqual([]);
  });

  it('stay where the server refuses or fails on, which is said, and a later removal succeeds', async () => {
    for (const [fault, calls] of [
      [answer(400, 'Bad Request', 'Project delete protection is enabled'), 1],
      [answer(500, 'Internal Server Error', 'Something went wrong'), 2],
      [{ kind: 'answer', status: 200, body: { status: 'maintenance' } }, 2],
    ] as const) {
      const before = deletes();
      fail(fault, 2);
      expect(await outcome(opened.store.removeWorkspace(workspace))).toBe('STORE_UNAVAILABLE');
      expect(deletes() - before).toBe(calls);
      opened.fake.heal();
      expect(opened.fake.world.projects).toHaveLength(1);
    }
    await opened.store.removeWorkspace(workspace);
    expect(opened.fake.world.projects).toEqual([]);
  });
});
