import { failureAnswer } from './fake-answer';
import type { FakeInfisical } from './fake-infisical';
import type { FakeRoute } from './fake-routes';
import { stringIssues } from './fake-validation';

export const KUBERNETES_LOGIN = '/api/v1/auth/kubernetes-auth/login';

export interface FakeCluster {
  readonly identityId: string;
  /** The ServiceAccount token that the cluster accepts; a test rotates it. */
  acceptedJwt: string;
  /** All tokens that were sent. */
  readonly seen: string[];
}

/**
 * Kubernetes Auth on a fake server. A wrong body and an unknown identity answer as a server of 2025 did; a refused token
 * as the published source says, since that needs a cluster.
 */
export function withKubernetesAuth(fake: FakeInfisical, acceptedJwt: string): FakeCluster {
  const cluster: FakeCluster = { identityId: fake.identity.id, acceptedJwt, seen: [] };
  const login: FakeRoute = {
    method: 'POST',
    template: KUBERNETES_LOGIN,
    limit: 'login',
    public: true,
    handle: async ({ body }) => {
      const issues = stringIssues(body, ['identityId', 'jwt']);
      if (issues.length > 0) return failureAnswer(422, 'ValidationFailure', issues);
      const { identityId, jwt } = body as { identityId: string; jwt: string };
      cluster.seen.push(jwt);
      if (identityId !== cluster.identityId) {
        const message = 'Kubernetes auth method not found for identity, did you configure Kubernetes auth?';
        return failureAnswer(404, 'NotFound', message);
      }
      if (jwt !== cluster.acceptedJwt) {
        return failureAnswer(401, 'KubernetesTokenReviewRequestError', `Unauthorized ${jwt}`);
      }
      const lease = { accessToken: fake.issueToken(), expiresIn: 3600, accessTokenMaxTTL: 3600 };
      return { status: 200, body: { ...lease, tokenType: 'Bearer' } };
    },
  };
  fake.serveAlso([login]);
  return cluster;
}
