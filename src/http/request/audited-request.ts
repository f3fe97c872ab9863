import { fieldsOf, percentDecoded } from '../../json/json';
import { type AuditRecord, OUTCOME_OF } from '../../audit/audit-sink';
import type { AuditTrail } from '../../audit/audit-trail';
import { APP_NAME, grantKey, SECRET_OPERATIONS, WORKSPACE_NAME } from '../../authz/grant';
import { WriteNotAudited } from '../../errors/store-errors';
import { ENVIRONMENTS, isSecretName, type SecretScope } from '../../secrets/secret';
import { PLAIN_USER } from './credential-headers';
import type { ProviderRequest, RequestAudit } from './provider-request';

/** The operations beside the five, by method and path. */
const OTHER_OPERATIONS: readonly (readonly [RegExp, string])[] = [
  [/^POST \/permission\/v1alpha1\/access$/, 'IssueAccessToken'],
  [/^GET \/admin\/permission\/[^/]+$/, 'CheckPermission'],
  [/^POST \/explain$/, 'ExplainGrants'],
  [/^GET \/admin\/explain\/[^/]+$/, 'ExplainGrants'],
  [/^GET \/admin\/secret\/[^/]+$/, 'ListAppSecrets'],
  [/^POST \/admin\/secret\/[^/]+$/, 'CreateAppSecret'],
  [/^PUT \/admin\/secret\/[^/]+$/, 'UpdateAppSecret'],
  [/^DELETE \/admin\/secret\/[^/]+$/, 'DeleteAppSecret'],
  [/^POST \/admin\/grants\/[^/]+\/approve$/, 'ApproveGrant'],
  [/^POST \/admin\/grants\/[^/]+\/revoke$/, 'RevokeGrant'],
  [/^POST \/user\/create$/, 'UserCreated'],
  [/^POST \/user\/delete$/, 'UserDeleted'],
];

/** Returns the operation that is audited; undefined for a request that touches neither secrets nor grants. */
export function auditedOperation({ method, target }: ProviderRequest): string | undefined {
  if (target.operation !== undefined) return target.operation;
  // Express serves a HEAD by the route of the GET.
  const line = `${method === 'HEAD' ? 'GET' : method} ${target.path}`;
  return OTHER_OPERATIONS.find(([pattern]) => pattern.test(line))?.[1];
}

/** Makes the records of one request: an attempt before each change, and one of how it ended before the answer leaves. */
export class AuditedRequest implements RequestAudit {
  #scopes: SecretScope[] = [];
  #name: string | undefined;
  #valueMac: string | undefined;
  #staleForMs: number | undefined;
  #isAttempted = false;
  #isOver = false;
  readonly #peer: string | undefined;

  constructor(
    private readonly request: ProviderRequest,
    private readonly operation: string,
    private readonly beganMs: number,
    private readonly trail: AuditTrail,
  ) {
    // A closed socket no longer has its address.
    this.#peer = request.socket.remoteAddress;
  }

  reads(scope: SecretScope, name?: string): void {
    this.#scopes.push(scope);
    this.#name = name;
  }

  async writes(scope: SecretScope, name: string, value?: string): Promise<void> {
    this.#scopes = [scope];
    this.#name = name;
    if (value !== undefined) this.#valueMac = this.trail.valueMac({ ...scope, name }, value);
    await this.changes();
  }

  async changes(): Promise<void> {
    try {
      await this.trail.take({ ...this.#common(), event: 'attempt' });
    } catch (error: unknown) {
      // The record of the refusal would not be taken either.
      this.#isOver = true;
      throw error;
    }
    this.#isAttempted = true;
  }

  answeredStale(forMs: number): void {
    this.#staleForMs = Math.max(forMs, this.#staleForMs ?? 0);
  }

  /** Records the outcome, unless that was tried before. @throws AuditUnavailable (503), WriteNotAudited (503) behind an attempt */
  async ended(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const { failure: reason, cleanup } = this.request;
    try {
      const record: AuditRecord = {
        ...this.#common(),
        event: 'outcome',
        outcome: reason === undefined ? 'allowed' : OUTCOME_OF[reason],
        ...(reason !== undefined && { reason }),
        durationMs: Math.round(performance.now() - this.beganMs),
        ...(this.#staleForMs !== undefined && { staleForMs: this.#staleForMs }),
        ...(cleanup.hasRun && { clientGone: true }),
      };
      // Nothing but this bounds how often a stranger, or an app beyond its rate limit, is refused.
      const isUnbounded = record.provenBy === undefined || reason === 'TOO_MANY_REQUESTS';
      await (reason !== undefined && isUnbounded ? this.trail.takeRefusal(record) : this.trail.take(record));
    } catch (error: unknown) {
      throw this.#isAttempted ? new WriteNotAudited() : error;
    }
  }

  #common(): Omit<AuditRecord, 'event'> {
    const { request } = this;
    const { caller, access, provenBy, administrator } = request;
    const user = caller?.user ?? request.user ?? access?.user ?? this.#eventUser();
    const app = caller?.app ?? access?.app ?? this.#appInPath();
    const isProven = caller !== undefined || request.user !== undefined;
    return {
      time: new Date().toISOString(),
      requestId: request.id,
      operation: this.operation,
      ...(app !== undefined && { app }),
      ...(user !== undefined && { user }),
      ...(access?.claimedApp !== undefined && { claimedApp: access.claimedApp }),
      ...(access?.claimedUser !== undefined && { claimedUser: access.claimedUser }),
      ...(administrator !== undefined && { administrator }),
      ...(provenBy !== undefined && (isProven || this.operation.startsWith('User')) && { provenBy }),
      ...(access?.app !== undefined && { provenBy: ['app_proof'] }),
      ...(this.#peer !== undefined && { peer: this.#peer }),
      ...this.#place(),
      ...this.#grants(),
      ...this.#approved(),
      ...(this.#valueMac !== undefined && { valueMac: this.#valueMac }),
    };
  }

  /** Where the store was asked, what it was asked for; otherwise what the request names, as far as it may be named so. */
  #place(): Partial<AuditRecord> {
    const { query } = this.request.target;
    const body = fieldsOf(this.request.body);
    const [scope] = this.#scopes;
    const workspaces = [...new Set(this.#scopes.map(({ workspace }) => workspace))];
    const asked = query['workspace'] ?? body['Workspace'] ?? body['workspace'];
    const workspace = scope?.workspace ?? (isText(asked) && WORKSPACE_NAME.test(asked) ? asked : undefined);
    const environment = scope?.environment ?? ENVIRONMENTS.find((one) => one === body['env']);
    const named = this.#name ?? body['name'] ?? body['Key'];
    const hasName = !this.operation.startsWith('User') && isSecretName(named);
    return {
      ...(workspaces.length > 1 ? { workspaces } : workspace !== undefined && { workspace }),
      ...(environment !== undefined && { environment }),
      ...(hasName && { name: String(named) }),
    };
  }

  #grants(): Pick<AuditRecord, 'grants'> {
    const { target, failure, access } = this.request;
    const body: unknown = this.request.body;
    const [scope] = this.#scopes;
    if (target.operation !== undefined)
      return scope === undefined ? {} : { grants: [grantKey(target.operation, scope.workspace)] };
    // The token was issued for all that was asked for, so each of them is a grant.
    if (access?.app === undefined || failure !== undefined) return {};
    const { ops } = fieldsOf(fieldsOf(body)['perm']);
    return Array.isArray(ops) ? { grants: ops.filter(isText) } : {};
  }

  /** What a user approved; of a refused approval what was asked for, as far as it is well-formed. */
  #approved(): Pick<AuditRecord, 'approved'> {
    const { operations, workspace } = fieldsOf(this.request.body);
    if (this.operation !== 'ApproveGrant' || !isText(operations) || !isText(workspace)) return {};
    const asked = operations.split(',', SECRET_OPERATIONS.length);
    if (!WORKSPACE_NAME.test(workspace)) return {};
    const known = SECRET_OPERATIONS.filter((operation) => asked.includes(operation));
    return known.length === 0 ? {} : { approved: known.map((operation) => grantKey(operation, workspace)) };
  }

  #eventUser(): string | undefined {
    const { name } = fieldsOf(this.request.body);
    const isEvent = this.operation.startsWith('User');
    return isEvent && isText(name) && PLAIN_USER.test(name) ? name : undefined;
  }

  #appInPath(): string | undefined {
    const [, encoded = ''] = /^\/admin\/[a-z]+\/([^/]+)/.exec(this.request.target.path) ?? [];
    // The routes get it decoded.
    const app = percentDecoded(encoded);
    return app !== undefined && APP_NAME.test(app) ? app : undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
