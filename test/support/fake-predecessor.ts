import { createHmac, randomUUID } from 'node:crypto';
import { FakeRefusal, failureAnswer, type FakeAnswer } from './fake-infisical/fake-answer';
import { badRequest, FAKE_API_VERSIONS } from './fake-infisical/fake-api-version';
import { FakeInfisical, type FakeOptions } from './fake-infisical/fake-infisical';
import type { FakeRequest, FakeRoute } from './fake-infisical/fake-routes';
import type { FakeEnvironment, FakeIdentity, FakeProject } from './fake-infisical/fake-world';

const MEMBERSHIPS = '/api/v2/workspace/{projectId}/identity-memberships';

/** A person in the predecessor's Infisical. */
export interface FakePerson {
  readonly email: string;
  readonly identity: FakeIdentity;
  readonly session: { readonly id: string; readonly accessVersion: number };
}

/** The fork with what the predecessor made on it: people, projects whose admin is a person, roles of identities as recorded. */
export class FakePredecessor {
  readonly people: FakePerson[] = [];
  readonly jwtSecret = `canary-jwt-${randomUUID()}`;
  /** The roles of identities that were given and taken away, in order. */
  readonly granted: string[] = [];
  readonly revoked: string[] = [];

  private constructor(readonly fake: FakeInfisical) {
    fake.identifyPerson = (bearer) => this.#personOf(bearer);
    fake.serveAlso(this.#routes());
  }

  static async start(options: Partial<FakeOptions> = {}): Promise<FakePredecessor> {
    return new FakePredecessor(await FakeInfisical.start({ apiVersion: 'fork', ...options }));
  }

  addPerson(email: string): FakePerson {
    const identity = this.fake.world.addIdentity(randomUUID(), randomUUID());
    const person = { email, identity, session: { id: randomUUID(), accessVersion: 1 } };
    this.people.push(person);
    return person;
  }

  /** As the predecessor makes it: its name is `<workspace>-<user>`, its slug has four characters more. */
  addProject(name: string, ...members: readonly FakePerson[]): FakeProject {
    const slug = `${name}-${randomUUID().slice(0, 4)}`.toLowerCase();
    const project = this.fake.world.addProject(slug, name, undefined);
    for (const { identity } of members) project.members.set(identity.id, 'admin');
    return project;
  }

  addSecret(project: FakeProject, environment: string, name: string, value: string, version = 1): void {
    const found = project.environments.find(({ slug }) => slug === environment) as FakeEnvironment;
    this.fake.world.addSecret(found, name, value, version);
  }

  /** What the statement of the command answers. */
  inventory(): unknown {
    return this.fake.world.projects
      .filter(({ slug }) => !/^osp-[0-9a-v]{32}$/.test(slug))
      .map((project) => ({
        id: project.id,
        name: project.name,
        organizationId: this.fake.world.organizationId,
        environments: project.environments.map(({ slug }) => slug),
        members: this.people
          .filter(({ identity }) => project.members.has(identity.id))
          .map(({ email, identity, session }) => ({
            userId: identity.id,
            email,
            sessionId: session.id,
            accessVersion: session.accessVersion,
          })),
      }));
  }

  /** The roles that machine identities have, by project. */
  roles(): readonly string[] {
    const people = new Set(this.people.map(({ identity }) => identity.id));
    return this.fake.world.projects.flatMap(({ name, members }) =>
      [...members].filter(([id]) => !people.has(id)).map(([id, role]) => `${name} ${id} ${role}`),
    );
  }

  /** As the fork: the signature, then the session. */
  #personOf(bearer: string): FakeIdentity | undefined {
    const [header = '', payload = '', signature = ''] = bearer.split('.');
    if (header.startsWith('fake-token-')) return undefined;
    const right = createHmac('sha256', this.jwtSecret).update(`${header}.${payload}`).digest('base64url');
    if (signature !== right) throw new FakeRefusal(FAKE_API_VERSIONS.fork.token('badSignature'));
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    const person = this.people.find(
      ({ identity, session }) =>
        identity.id === claims['userId'] &&
        session.id === claims['tokenVersionId'] &&
        session.accessVersion === claims['accessVersion'],
    );
    const isCurrent = Number(claims['exp']) * 1000 > Date.now();
    const isWhole =
      claims['authTokenType'] === 'accessToken' &&
      claims['organizationId'] === this.fake.world.organizationId;
    if (person === undefined || !isCurrent || !isWhole)
      throw new FakeRefusal(FAKE_API_VERSIONS.fork.token(isCurrent ? 'unknown' : 'expired'));
    return person.identity;
  }

  #routes(): readonly FakeRoute[] {
    const route = (
      method: string,
      template: string,
      limit: FakeRoute['limit'],
      handle: (project: FakeProject, identityId: string, body: unknown) => FakeAnswer,
    ): FakeRoute => ({
      method,
      template,
      limit,
      handle: async ({ path, body, identity }: FakeRequest) => {
        const id = path['projectId'] ?? '';
        const project = this.fake.world.projects.find((one) => one.id === id);
        const role = project?.members.get(identity.id);
        if (project === undefined || role === undefined) return FAKE_API_VERSIONS.fork.notAMember(id);
        if (role !== 'admin') return FAKE_API_VERSIONS.fork.permissionDenied('create', 'identity');
        return handle(project, path['identityId'] ?? '', body);
      },
    });
    const membership = (project: FakeProject, identityId: string): FakeAnswer => ({
      status: 200,
      body: { identityMembership: { id: randomUUID(), projectId: project.id, identityId } },
    });
    const isPerson = (id: string) => this.people.some(({ identity }) => identity.id === id);
    return [
      route('GET', MEMBERSHIPS, 'reads', ({ members }) => ({
        status: 200,
        body: {
          identityMemberships: [...members]
            .filter(([id]) => !isPerson(id))
            .map(([identityId, role]) => ({ id: randomUUID(), identityId, roles: [{ role }] })),
        },
      })),
      route('POST', `${MEMBERSHIPS}/{identityId}`, 'writes', (project, identityId, body) => {
        const { role } = body as { role: 'viewer' };
        if (!this.fake.world.identities.some(({ id }) => id === identityId))
          return badRequest(`Failed to find identity with id ${identityId}`);
        if (project.members.has(identityId))
          return badRequest(`Identity with id ${identityId} already exists in project with id ${project.id}`);
        project.members.set(identityId, role);
        this.granted.push(project.id);
        return membership(project, identityId);
      }),
      route('DELETE', `${MEMBERSHIPS}/{identityId}`, 'writes', (project, identityId) => {
        if (!project.members.delete(identityId))
          return failureAnswer(400, 'BadRequest', `Failed to find identity with id ${identityId}`);
        this.revoked.push(project.id);
        return membership(project, identityId);
      }),
    ];
  }
}
