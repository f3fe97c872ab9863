import { fieldsOf } from '../../../json/json';
import { rowsOf, textOf, type AdminCalls, SetupFailed } from './admin-calls';
import type { KubernetesTarget } from './setup-arguments';

/** The role `no-access` may not create projects; every other role may do more than that. */
export const LEAST_ROLE = 'member';

const IDENTITIES = '/api/v1/identities';
const MEMBERSHIPS = '/api/v2/organizations/{organizationId}/identity-memberships';
const UNIVERSAL = '/api/v1/auth/universal-auth/identities/{identityId}';
const KUBERNETES = '/api/v1/auth/kubernetes-auth/identities/{identityId}';

export interface Membership {
  readonly identityId: string;
  readonly name: string;
  readonly role: string;
}

/** Returns undefined where they may not be read. */
export async function membershipsOf(
  calls: AdminCalls,
  organizationId: string,
): Promise<readonly Membership[] | undefined> {
  const { status, body } = await calls.ask('GET', MEMBERSHIPS, { organizationId });
  return status === 200 ? membershipsIn(body) : undefined;
}

function membershipsIn(body: Readonly<Record<string, unknown>>): readonly Membership[] {
  return rowsOf(body['identityMemberships']).map((row) => {
    const identity = fieldsOf(row['identity']);
    return { identityId: textOf(identity, 'id'), name: textOf(identity, 'name'), role: textOf(row, 'role') };
  });
}

/** Returns the identity of that name, which an earlier run may have created; undefined where there is none. @throws SetupFailed */
export async function findIdentity(
  calls: AdminCalls,
  organizationId: string,
  name: string,
): Promise<string | undefined> {
  const call = ['GET', MEMBERSHIPS, { organizationId }] as const;
  const body = await calls.demand('The machine identities of the organization could not be listed', ...call);
  const [found, ...others] = membershipsIn(body).filter((membership) => membership.name === name);
  if (others.length > 0)
    throw new SetupFailed(`Several machine identities bear the name; choose another with --name.`);
  if (found !== undefined && found.role !== LEAST_ROLE)
    throw new SetupFailed(
      `The machine identity has another organization role than ${LEAST_ROLE}; change it first.`,
    );
  return found?.identityId;
}

/** Returns its id. */
export async function makeIdentity(calls: AdminCalls, organizationId: string, name: string): Promise<string> {
  const why = 'The machine identity could not be created';
  const body = await calls.demand(why, 'POST', IDENTITIES, {}, { name, organizationId, role: LEAST_ROLE });
  return textOf(fieldsOf(body['identity']), 'id');
}

/** Returns the client id. */
export async function ensureUniversalAuth(calls: AdminCalls, identityId: string): Promise<string> {
  const present = await calls.ask('GET', UNIVERSAL, { identityId });
  const body =
    present.status === 200
      ? present.body
      : await calls.demand('Universal Auth could not be added', 'POST', UNIVERSAL, { identityId }, {});
  return textOf(fieldsOf(body['identityUniversalAuth']), 'clientId');
}

/** Returns whether it has a client secret that may still log in. Changes nothing. */
export async function hasUsableSecret(
  calls: AdminCalls,
  identityId: string,
  nowMs: number,
): Promise<boolean> {
  const { status } = await calls.ask('GET', UNIVERSAL, { identityId });
  return status === 200 && (await usableClientSecrets(calls, identityId, nowMs)) > 0;
}

/** Returns how many client secrets may still log in. */
export async function usableClientSecrets(
  calls: AdminCalls,
  identityId: string,
  nowMs: number,
): Promise<number> {
  const why = 'The client secrets could not be listed';
  const body = await calls.demand(why, 'GET', `${UNIVERSAL}/client-secrets`, { identityId });
  return rowsOf(body['clientSecretData']).filter((secret) => {
    const [uses, limit] = [Number(secret['clientSecretNumUses']), Number(secret['clientSecretNumUsesLimit'])];
    const lifeMs = Number(secret['clientSecretTTL']) * 1000;
    const isOver = lifeMs > 0 && Date.parse(textOf(secret, 'createdAt')) + lifeMs <= nowMs;
    return secret['isClientSecretRevoked'] !== true && !isOver && (limit === 0 || uses < limit);
  }).length;
}

export async function makeClientSecret(calls: AdminCalls, identityId: string): Promise<string> {
  const sent = { description: 'olares-secret-provider', numUsesLimit: 0, ttl: 0 };
  const why = 'The client secret could not be created';
  return textOf(
    await calls.demand(why, 'POST', `${UNIVERSAL}/client-secrets`, { identityId }, sent),
    'clientSecret',
  );
}

/** Sets the cluster and the ServiceAccounts that may log in, whether or not they were set before. */
export async function ensureKubernetesAuth(
  calls: AdminCalls,
  identityId: string,
  target: KubernetesTarget & { readonly caCert: string; readonly reviewerJwt: string | undefined },
): Promise<void> {
  const present = await calls.ask('GET', KUBERNETES, { identityId });
  const method = present.status === 200 ? 'PATCH' : 'POST';
  const sent = {
    kubernetesHost: target.host,
    caCert: target.caCert,
    allowedNamespaces: target.namespace,
    allowedNames: target.serviceAccount,
    allowedAudience: target.audience,
    ...(target.reviewerJwt !== undefined && { tokenReviewerJwt: target.reviewerJwt }),
  };
  const call = [method, KUBERNETES, { identityId }, sent] as const;
  const answer = await calls.ask(...call);
  if (answer.status === 200) return;
  const wantsReviewer = rowsOf(answer.body['message']).some(
    ({ path }) => Array.isArray(path) && path.includes('tokenReviewerJwt'),
  );
  const hint = wantsReviewer ? '; this server needs KUBERNETES_TOKEN_REVIEWER_JWT' : '';
  throw calls.refused(`Kubernetes Auth could not be set${hint}`, answer, [...call]);
}
