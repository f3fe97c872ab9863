import { FakeRefusal, failureAnswer } from './fake-answer';
import { databaseRefused, type FakeApiVersion } from './fake-api-version';
import type { FakeRoute } from './fake-routes';
import type { FakeProject, FakeWorld } from './fake-world';

/** Deletes projects as the recorded servers do. */
export function projectDeletionRoutes(
  world: FakeWorld,
  apiVersion: FakeApiVersion,
  view: (project: FakeProject) => Record<string, unknown>,
): readonly FakeRoute[] {
  const isV4 = apiVersion.paths.organizationProjects === undefined;
  const deletion: FakeRoute = {
    method: 'DELETE',
    template: isV4 ? '/api/v1/projects/{projectId}' : '/api/v1/workspace/{projectId}',
    limit: 'writes',
    handle: async ({ path, identity }) => {
      const id = path['projectId'] ?? '';
      const project = world.projects.find((candidate) => candidate.id === id);
      if (project === undefined)
        return isV4
          ? failureAnswer(404, 'NotFound', `Project with ID '${id}' not found`)
          : databaseRefused('Failed to find project by id');
      const role = project.members.get(identity.id);
      if (role === undefined) throw new FakeRefusal(apiVersion.notAMember(id));
      if (role !== 'admin') return apiVersion.permissionDenied('delete', 'workspace');
      world.deleteProject(id);
      const { _id: _own, environments: _now, deletedEnvironments: _before, ...shown } = view(project);
      return { status: 200, body: isV4 ? { project: shown } : { workspace: shown } };
    },
  };
  const list: FakeRoute = {
    method: 'GET',
    template: '/api/v1/projects',
    limit: 'reads',
    handle: async ({ identity }) => ({
      status: 200,
      body: { projects: world.projects.filter(({ members }) => members.has(identity.id)).map(view) },
    }),
  };
  return isV4 ? [deletion, list] : [deletion];
}
