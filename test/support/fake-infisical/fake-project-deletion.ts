import type { FakeInfisical } from './fake-infisical';
import type { FakeRoute } from './fake-routes';

/** As recorded, but for what the caller may not: what a clean-up needs. */
export function withProjectDeletion(fake: FakeInfisical): void {
  const deletion = (template: string): FakeRoute => ({
    method: 'DELETE',
    template,
    limit: 'writes',
    handle: async ({ path }) => {
      const id = path['projectId'] ?? '';
      const project = fake.world.projects.find((candidate) => candidate.id === id);
      if (project === undefined) return { status: 404, body: { statusCode: 404, error: 'NotFound' } };
      fake.world.deleteProject(id);
      return { status: 200, body: { workspace: { id, slug: project.slug, name: project.name } } };
    },
  });
  fake.serveAlso([deletion('/api/v1/workspace/{projectId}'), deletion('/api/v1/projects/{projectId}')]);
}
