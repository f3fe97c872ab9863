import { fieldsOf } from '../../../json/json';
import type { Route } from '../versions/calls';
import type { InfisicalClient } from '../transport/infisical-client';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { operatorSentence } from '../versions/refusal-sentence';
import { identityIn } from '../projects/organization-check';
import type { KubernetesTarget } from './setup-arguments';

/** The setup cannot go on. The message is for the operator; the words of a server in it hold no secret. */
export class SetupFailed extends Error {}

/** The server was bootstrapped, which is possible only once, and a later step failed: exit code 3. */
export class BootstrapUnfinished extends SetupFailed {}

const TIMEOUT_MS = 30_000;

/** The values that are sent and never shown, even where a server repeats them. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  'password',
  'clientSecret',
  'tokenReviewerJwt',
  'caCert',
]);

interface AdminAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends calls with one token, or with none. No call is repeated: an operator is watching. */
export class AdminCalls {
  constructor(
    private readonly client: InfisicalClient,
    private readonly bearer?: string,
  ) {}

  /** Returns any answer. @throws SetupFailed where there is none */
  async ask(
    method: Route['method'],
    template: string,
    path: Readonly<Record<string, string>> = {},
    body?: Readonly<Record<string, unknown>>,
  ): Promise<AdminAnswer> {
    const target = template.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(path[key] ?? ''));
    try {
      const answer = await this.client.send({
        call: 'setup',
        method,
        pathTemplate: template,
        target,
        timeoutMs: TIMEOUT_MS,
        ...(body !== undefined && { body }),
        ...(this.bearer !== undefined && { bearer: this.bearer }),
      });
      return { status: answer.status, body: fieldsOf(answer.body) };
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      throw new SetupFailed(`Infisical gave no answer to ${method} ${template} (${error.reason}).`);
    }
  }

  /** Returns the body of a successful answer. @throws SetupFailed with `why` for any other answer */
  async demand(why: string, ...call: Parameters<AdminCalls['ask']>): Promise<AdminAnswer['body']> {
    const { status, body } = await this.ask(...call);
    if (status === 200) return body;
    throw this.refused(why, { status, body }, call);
  }

  /** Makes the error, with the server's own words, from which the secrets that were sent are removed. */
  refused(
    why: string,
    { status, body }: AdminAnswer,
    [method, template, , sent = {}]: Readonly<Parameters<AdminCalls['ask']>>,
  ): SetupFailed {
    const fields = Object.entries(sent).filter(
      (field): field is [string, string] => typeof field[1] === 'string',
    );
    const secrets = fields.filter(([name]) => SECRET_FIELDS.has(name)).map(([, value]) => value);
    const open = fields.filter(([name]) => !SECRET_FIELDS.has(name)).flatMap(([, value]) => openWords(value));
    if (this.bearer !== undefined) secrets.push(this.bearer);
    const said = operatorSentence(body, { secrets: secrets.filter((text) => text !== ''), open });
    const words = said === undefined ? '' : `: Infisical says "${said}"`;
    return new SetupFailed(`${why}${words} (${method} ${template} answers ${status}).`);
  }
}

/** Returns the value as the operator wrote it, and the host of a URL, which the errors of a resolver name. */
function openWords(value: string): readonly string[] {
  return URL.canParse(value) ? [value, new URL(value).hostname, new URL(value).host] : [value];
}

/** Resolves to undefined where Infisical gave no answer. */
export async function unlessFailed<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch((error: unknown) => {
    if (error instanceof SetupFailed) return undefined;
    throw error;
  });
}

function rowsOf(body: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(body) ? body.map(fieldsOf) : [];
}

/** @throws SetupFailed */
export function textOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new SetupFailed(`Infisical's answer lacks the field ${name}.`);
}

/** The role `no-access` may not create projects; every other role may do more than that. */
export const LEAST_ROLE = 'member';

const IDENTITIES = '/api/v1/identities';
const MEMBERSHIPS = '/api/v2/organizations/{organizationId}/identity-memberships';
const UNIVERSAL = '/api/v1/auth/universal-auth/identities/{identityId}';
const KUBERNETES = '/api/v1/auth/kubernetes-auth/identities/{identityId}';

/** The end of a sentence about an identity that has another role. */
export const EXCESS = `may more than it needs: give it the organization role ${LEAST_ROLE} in place of the one it has.`;

/** Returns the role of the token's own identity, which a member may read; undefined where it may not. @throws SetupFailed */
export async function ownRole(
  calls: AdminCalls,
  organizationId: string,
  accessToken: string,
): Promise<string | undefined> {
  const { status, body } = await calls.ask('GET', MEMBERSHIPS, { organizationId });
  const own = identityIn(accessToken);
  return status === 200 ? membershipsIn(body).find(({ identityId }) => identityId === own)?.role : undefined;
}

function membershipsIn(
  body: AdminAnswer['body'],
): readonly Readonly<Record<'identityId' | 'name' | 'role', string>>[] {
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

/** Returns whether it has a client secret that may still log in. Changes nothing. @throws SetupFailed */
export async function hasUsableSecret(
  calls: AdminCalls,
  identityId: string,
  nowMs: number,
): Promise<boolean> {
  if ((await calls.ask('GET', UNIVERSAL, { identityId })).status !== 200) return false;
  const why = 'The client secrets could not be listed';
  const body = await calls.demand(why, 'GET', `${UNIVERSAL}/client-secrets`, { identityId });
  return rowsOf(body['clientSecretData']).some((secret) => {
    const [uses, limit] = [Number(secret['clientSecretNumUses']), Number(secret['clientSecretNumUsesLimit'])];
    const lifeMs = Number(secret['clientSecretTTL']) * 1000;
    const isOver = lifeMs > 0 && Date.parse(textOf(secret, 'createdAt')) + lifeMs <= nowMs;
    return secret['isClientSecretRevoked'] !== true && !isOver && (limit === 0 || uses < limit);
  });
}

export async function makeClientSecret(calls: AdminCalls, identityId: string): Promise<string> {
  const sent = { description: 'olares-secret-provider', numUsesLimit: 0, ttl: 0 };
  const why = 'The client secret could not be created';
  const body = await calls.demand(why, 'POST', `${UNIVERSAL}/client-secrets`, { identityId }, sent);
  return textOf(body, 'clientSecret');
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
  throw calls.refused(`Kubernetes Auth could not be set${hint}`, answer, call);
}
