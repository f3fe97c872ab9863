import { randomUUID } from 'node:crypto';
import { FakeRefusal, failureAnswer, type FakeAnswer } from './fake-answer';
import { FAKE_API_VERSIONS, type FakeApiVersionName } from './fake-api-version';
import type { FakeInfisical } from './fake-infisical';
import type { FakeRequest, FakeRoute } from './fake-routes';
import { stringIssues } from './fake-validation';
import type { FakeIdentity } from './fake-world';

export interface FakeMember {
  readonly identity: FakeIdentity;
  readonly name: string;
  role: string;
  universalAuth: boolean;
  kubernetes?: Record<string, unknown>;
  readonly secrets: { id: string; revoked: boolean; ttl: number }[];
}

export interface FakeAdministration {
  readonly members: FakeMember[];
  readonly adminToken: string;
  bootstrapped: boolean;
  /** With v4's defaults a token without an expiry is refused, and the token of a bootstrap has none. */
  refusesBootstrapToken: boolean;
  bootstrapToken: string;
}

const ok = (body: unknown): FakeAnswer => ({ status: 200, body });

/** The routes of identities and their login methods, as recorded on fork, v3 and a server of 2025; `bootstrap` by the documentation. */
export function withAdministration(fake: FakeInfisical, apiVersion: FakeApiVersionName): FakeAdministration {
  const { world } = fake;
  const activeVersion = FAKE_API_VERSIONS[apiVersion];
  const join = (name: string, role: string): FakeMember => {
    const identity = world.addIdentity(randomUUID(), randomUUID(), role !== 'no-access');
    const member: FakeMember = { identity, name, role, universalAuth: false, secrets: [] };
    administration.members.push(member);
    return member;
  };
  const administration: FakeAdministration = {
    members: [],
    adminToken: '',
    bootstrapped: false,
    refusesBootstrapToken: false,
    bootstrapToken: '',
  };
  const admin = join('the admin', 'admin');
  Object.assign(administration, { adminToken: fake.issueToken(admin.identity) });

  const memberOf = (id: string | undefined): FakeMember => {
    const member = administration.members.find(({ identity }) => identity.id === id);
    if (member === undefined) throw new FakeRefusal(failureAnswer(404, 'NotFound', 'no such identity'));
    return member;
  };
  const requireAdmin = ({ identity }: FakeRequest): void => {
    const role = administration.members.find((member) => member.identity === identity)?.role;
    if (role !== 'admin') throw new FakeRefusal(activeVersion.permissionDenied('create', 'identity'));
  };
  const view = ({ identity, name, role }: FakeMember) => ({
    id: randomUUID(),
    role,
    roleId: null,
    orgId: world.organizationId,
    identityId: identity.id,
    identity: { id: identity.id, name },
  });
  const secretView = ({ id, revoked, ttl }: FakeMember['secrets'][number]) => ({
    id,
    createdAt: new Date().toISOString(),
    clientSecretNumUses: 0,
    clientSecretNumUsesLimit: 0,
    clientSecretTTL: ttl,
    isClientSecretRevoked: revoked,
  });
  const universalView = ({ identity }: FakeMember) =>
    ok({ identityUniversalAuth: { clientId: identity.clientId } });
  const absent = () => failureAnswer(404, 'NotFound', 'Failed to find the auth of the identity');

  const route = (
    method: string,
    template: string,
    handle: (request: FakeRequest) => FakeAnswer,
  ): FakeRoute => ({
    method,
    template,
    limit: 'writes',
    handle: async (request) => handle(request),
  });
  const asAdmin = (
    method: string,
    template: string,
    handle: (member: FakeMember, body: Record<string, unknown>) => FakeAnswer,
  ) =>
    route(method, template, (request) => {
      requireAdmin(request);
      return handle(memberOf(request.path['identityId']), (request.body ?? {}) as Record<string, unknown>);
    });

  const universal = '/api/v1/auth/universal-auth/identities/{identityId}';
  const kubernetes = '/api/v1/auth/kubernetes-auth/identities/{identityId}';
  const setKubernetes = (member: FakeMember, body: Record<string, unknown>) => {
    const needed = ['kubernetesHost', 'allowedNamespaces', 'allowedNames', 'allowedAudience'];
    const issues = stringIssues(body, apiVersion === 'v4' ? needed : [...needed, 'tokenReviewerJwt']);
    if (issues.length > 0) return activeVersion.validation(issues);
    const host = String(body['kubernetesHost']);
    if (host.endsWith('.invalid'))
      return failureAnswer(400, 'BadRequest', `getaddrinfo ENOTFOUND ${new URL(host).hostname}`);
    member.kubernetes = body;
    return ok({ identityKubernetesAuth: {} });
  };
  fake.serveAlso([
    route('GET', '/api/v2/organizations/{orgId}/identity-memberships', ({ path, identity }) => {
      const role = administration.members.find((member) => member.identity === identity)?.role;
      return path['orgId'] !== world.organizationId || role === 'no-access'
        ? activeVersion.permissionDenied('read', 'identity')
        : ok({ identityMemberships: administration.members.map(view) });
    }),
    route('POST', '/api/v1/identities', (request) => {
      requireAdmin(request);
      const issues = stringIssues(request.body, ['name', 'organizationId', 'role']);
      if (issues.length > 0) return activeVersion.validation(issues);
      const { name, role } = request.body as { name: string; role: string };
      const { identity } = join(name, role);
      return ok({ identity: { id: identity.id, name, authMethod: null } });
    }),
    asAdmin('GET', universal, (member) => (member.universalAuth ? universalView(member) : absent())),
    asAdmin('POST', universal, (member) => {
      member.universalAuth = true;
      return universalView(member);
    }),
    asAdmin('GET', `${universal}/client-secrets`, ({ secrets }) =>
      ok({ clientSecretData: secrets.map(secretView) }),
    ),
    asAdmin('POST', `${universal}/client-secrets`, (member) => {
      const secret = { id: randomUUID(), revoked: false, ttl: 0 };
      member.secrets.push(secret);
      member.identity.clientSecret = `canary-client-secret-${secret.id}`;
      return ok({ clientSecret: member.identity.clientSecret, clientSecretData: secretView(secret) });
    }),
    asAdmin('GET', kubernetes, ({ kubernetes: set }) =>
      set === undefined ? absent() : ok({ identityKubernetesAuth: {} }),
    ),
    asAdmin('POST', kubernetes, setKubernetes),
    asAdmin('PATCH', kubernetes, setKubernetes),
    ...(apiVersion === 'fork'
      ? []
      : [
          route('GET', '/api/v1/organization-admin/projects', (request) => {
            requireAdmin(request);
            return ok({ projects: [], count: 0 });
          }),
        ]),
    ...(apiVersion === 'v4'
      ? [
          {
            ...route('POST', '/api/v1/admin/bootstrap', ({ body }) => {
              const { email } = body as { email: string };
              if (!/@.+\./.test(email))
                return activeVersion.validation([
                  { code: 'invalid_string', path: ['email'], message: 'Invalid email' },
                ]);
              if (administration.bootstrapped)
                return failureAnswer(400, 'BadRequest', 'Instance has already been set up');
              administration.bootstrapped = true;
              const { refusesBootstrapToken, adminToken } = administration;
              administration.bootstrapToken = refusesBootstrapToken
                ? `fake-token-${randomUUID()}`
                : adminToken;
              const identity = {
                id: admin.identity.id,
                credentials: { token: administration.bootstrapToken },
              };
              return ok({ identity, organization: { id: world.organizationId } });
            }),
            public: true,
          },
        ]
      : []),
  ]);
  return administration;
}
