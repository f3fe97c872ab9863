import { randomUUID } from 'node:crypto';

export interface FakeSecret {
  readonly id: string;
  readonly key: string;
  value: string;
  version: number;
  readonly createdAt: string;
  updatedAt: string;
}

export interface FakeEnvironment {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly position: number;
  /** In the order of the database: an update moves its row to the end. */
  readonly secrets: FakeSecret[];
}

export interface FakeProject {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly createdAt: string;
  readonly environments: FakeEnvironment[];
  /** Slugs of environments that were deleted softly. */
  readonly deleted: Set<string>;
  /** Identity id → role in the project. */
  readonly members: Map<string, 'admin' | 'viewer' | 'no-access'>;
}

export interface FakeIdentity {
  readonly id: string;
  readonly clientId: string;
  clientSecret: string;
  readonly mayCreateProjects: boolean;
}

/** The data of the server. */
export class FakeWorld {
  organizationId: string = randomUUID();
  readonly identities: FakeIdentity[] = [];
  readonly projects: FakeProject[] = [];

  addIdentity(clientId: string, clientSecret: string, mayCreateProjects = true): FakeIdentity {
    const identity = { id: randomUUID(), clientId, clientSecret, mayCreateProjects };
    this.identities.push(identity);
    return identity;
  }

  /** Adds a project with the three environments that every new project has. */
  addProject(
    slug: string,
    name: string,
    owner: FakeIdentity | undefined,
    id: string = randomUUID(),
  ): FakeProject {
    const project: FakeProject = {
      id,
      slug,
      name,
      createdAt: new Date().toISOString(),
      environments: [],
      deleted: new Set(),
      members: new Map(owner === undefined ? [] : [[owner.id, 'admin']]),
    };
    for (const [environment, label] of [
      ['dev', 'Development'],
      ['staging', 'Staging'],
      ['prod', 'Production'],
    ] as const) {
      this.addEnvironment(project, environment, label);
    }
    this.projects.push(project);
    return project;
  }

  addEnvironment(project: FakeProject, slug: string, name: string, position?: number): FakeEnvironment {
    const next = Math.max(0, ...project.environments.map((environment) => environment.position)) + 1;
    const environment = { id: randomUUID(), name, slug, position: position ?? next, secrets: [] };
    project.environments.push(environment);
    return environment;
  }

  addSecret(environment: FakeEnvironment, key: string, value: string, version = 1): FakeSecret {
    const now = new Date().toISOString();
    const secret = { id: randomUUID(), key, value, version, createdAt: now, updatedAt: now };
    environment.secrets.push(secret);
    return secret;
  }

  /** Deletes a project, as a person does in the page. */
  deleteProject(slugOrId: string): void {
    const at = this.projects.findIndex(({ slug, id }) => slug === slugOrId || id === slugOrId);
    if (at >= 0) this.projects.splice(at, 1);
  }

  /** @param softly keeps the slug taken, as newer servers do */
  deleteEnvironment(slug: string, environment: string, softly = false): void {
    const project = this.projects.find((candidate) => candidate.slug === slug);
    const at = project?.environments.findIndex((candidate) => candidate.slug === environment) ?? -1;
    if (at >= 0) project?.environments.splice(at, 1);
    if (softly) project?.deleted.add(environment);
  }
}
