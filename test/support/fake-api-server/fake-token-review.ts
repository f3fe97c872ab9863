/** The audience of a token for the API server itself, which a review assumes where it names none. */
export const API_AUDIENCE = 'https://kubernetes.default.svc';

/** A ServiceAccount token that the fake knows. */
export interface FakeToken {
  readonly username: string;
  readonly audiences: readonly string[];
}

/** TokenReview of authentication.k8s.io/v1: a token counts where one of its audiences was asked for. */
export function reviewToken(review: unknown, tokens: ReadonlyMap<string, FakeToken>): unknown {
  const { spec } = review as { spec: { token: string; audiences?: readonly string[] } };
  const known = tokens.get(spec.token);
  const asked = spec.audiences ?? [API_AUDIENCE];
  const audiences = known?.audiences.filter((audience) => asked.includes(audience)) ?? [];
  const status =
    known === undefined || audiences.length === 0
      ? { authenticated: false, user: {}, error: '[invalid bearer token]' }
      : {
          authenticated: true,
          user: { username: known.username, groups: ['system:serviceaccounts'] },
          audiences,
        };
  return { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {}, spec, status };
}
