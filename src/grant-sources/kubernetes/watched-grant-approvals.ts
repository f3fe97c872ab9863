import { createHash } from 'node:crypto';
import { GrantApprovalFailed } from '../../errors/request-errors';
import { APP_NAME, grantKey, SECRET_OPERATIONS, WORKSPACE_NAME } from '../../authz/grant';
import { type GrantApproval, GrantApprovals } from '../../authz/grant-source';
import { Informer, type InformerDeps } from '../../kubernetes/informer';
import { isBeingDeleted, type KubeObject } from '../../kubernetes/kube-object';
import { type ApiCall, kubernetesFailureOf } from '../../kubernetes/kubernetes-api';

const APPROVAL_LABEL = 'secrets.olares.com/grant-approval';
const FIELDS = ['app', 'operations', 'user', 'workspace'] as const;
const ANY_USER = '*';
const TIMEOUT_MS = 10_000;
/** Between each two calls of an approval the user may withdraw it. */
const MAX_ATTEMPTS = 5;

/** What follows the approvals; each call comes in the same synchronous step as the change. */
export interface ApprovalListener {
  /** @param user `*` for every user */
  changed(user: string, app: string): void;
  /** @param refused why the ConfigMap approves nothing; undefined where it does, or is gone */
  read(key: string, refused: string | undefined): void;
  listed(): void;
  outdated(): void;
}

/**
 * Keeps approvals in ConfigMaps of the service's own namespace with the label `secrets.olares.com/grant-approval: "true"`,
 * and watches them. Whoever may write ConfigMaps there approves; no other namespace is looked at.
 */
export class WatchedGrantApprovals extends GrantApprovals {
  readonly informer: Informer<GrantApproval | string>;
  private readonly path: string;
  /** By ConfigMap, the approval that it holds. */
  private readonly held = new Map<string, GrantApproval>();
  /** How many ConfigMaps approve a grant of an app, by user, app and grantKey(). */
  private readonly counts = new Map<string, number>();
  private listener: ApprovalListener | undefined;

  constructor(
    private readonly namespace: string,
    private readonly deps: InformerDeps,
  ) {
    super();
    this.path = `/api/v1/namespaces/${namespace}/configmaps`;
    this.informer = new Informer<GrantApproval | string>(
      {
        path: this.path,
        labelSelector: `${APPROVAL_LABEL}=true`,
        read: approvalIn,
        onPut: (key, approval) => this.put(key, approval),
        onRemoved: (key) => this.put(key, undefined),
        onListed: () => this.listener?.listed(),
        onOutdated: () => this.listener?.outdated(),
      },
      deps,
    );
  }

  listen(listener: ApprovalListener): void {
    this.listener = listener;
  }

  /** @param key a grantKey() */
  isApproved(user: string, app: string, key: string): boolean {
    return [user, ANY_USER].some((one) => this.counts.has(countKey(one, app, key)));
  }

  async approve(approval: GrantApproval): Promise<void> {
    const name = objectNameOf(approval);
    const { operations, ...of } = approval;
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: this.namespace, labels: { [APPROVAL_LABEL]: 'true' } },
      data: { ...of, operations: operations.join(',') },
    };
    for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
      if (await this.send({ method: 'POST', path: this.path, body }, 409)) return;
      if (await this.send({ method: 'PATCH', path: `${this.path}/${name}`, body }, 404)) return;
    }
    throw new GrantApprovalFailed('it is withdrawn again and again');
  }

  async revoke(of: Omit<GrantApproval, 'operations'>): Promise<void> {
    await this.send({ method: 'DELETE', path: `${this.path}/${objectNameOf(of)}` }, 404);
  }

  /**
   * Withdraws what users approved for apps that were uninstalled: who installs an app of that name later is asked again.
   * What the operator wrote stays.
   */
  uninstalled(isGone: (user: string, app: string) => boolean): void {
    for (const [key, approval] of this.held) {
      const { user, app, workspace } = approval;
      const isOurs = user !== ANY_USER && key === `${this.namespace}/${objectNameOf(approval)}`;
      if (!isOurs || !isGone(user, app)) continue;
      this.revoke(approval).then(
        () => this.deps.log('info', 'grant_revoked', { user, app, workspace }),
        (error: unknown) => {
          const reason = error instanceof GrantApprovalFailed ? error.message : 'unknown';
          this.deps.log('warn', 'grant_not_revoked', { user, app, workspace, reason });
        },
      );
    }
  }

  /** Returns false where the server answers with the expected refusal. @throws GrantApprovalFailed */
  private async send(call: Pick<ApiCall, 'method' | 'path' | 'body'>, expected?: number): Promise<boolean> {
    try {
      await this.deps.api.send({ ...call, timeoutMs: TIMEOUT_MS });
      return true;
    } catch (error: unknown) {
      const failure = kubernetesFailureOf(error);
      if (expected !== undefined && failure.status === expected) return false;
      throw new GrantApprovalFailed(failure.message);
    }
  }

  private put(key: string, now: GrantApproval | string | undefined): void {
    const before = this.held.get(key);
    const approval = typeof now === 'string' ? undefined : now;
    this.held.delete(key);
    if (approval !== undefined) this.held.set(key, approval);
    this.count(before, -1);
    this.count(approval, 1);
    this.listener?.read(key, typeof now === 'string' ? now : undefined);
    for (const of of [before, approval]) if (of !== undefined) this.listener?.changed(of.user, of.app);
  }

  private count(approval: GrantApproval | undefined, change: number): void {
    if (approval === undefined) return;
    const { user, app, workspace, operations } = approval;
    for (const operation of operations) {
      const key = countKey(user, app, grantKey(operation, workspace));
      const count = (this.counts.get(key) ?? 0) + change;
      if (count > 0) this.counts.set(key, count);
      else this.counts.delete(key);
    }
  }
}

/** None of the parts can contain a slash. */
function countKey(user: string, app: string, key: string): string {
  return `${user}/${app}/${key}`;
}

function objectNameOf({ user, app, workspace }: Omit<GrantApproval, 'operations'>): string {
  const digest = createHash('sha256').update(`${user}/${app}/${workspace}`).digest('hex');
  return `secret-grant-${digest.slice(0, 40)}`;
}

/** Returns the approval, or why there is none; the reason names fields, never their content. */
function approvalIn(object: KubeObject): GrantApproval | string {
  const { data, binaryData } = object.body;
  if (typeof data !== 'object' || data === null || binaryData !== undefined)
    return `data must state ${FIELDS.join(', ')}`;
  if (Object.keys(data).sort().join() !== FIELDS.join())
    return `data must state ${FIELDS.join(', ')}, and nothing else`;
  if (isBeingDeleted(object)) return 'it is being deleted';
  const { user, app, workspace, operations } = data as Readonly<Record<(typeof FIELDS)[number], unknown>>;
  if (typeof user !== 'string' || !(user === ANY_USER || APP_NAME.test(user)))
    return 'user must be a name, or * for every user';
  if (typeof app !== 'string' || !APP_NAME.test(app)) return 'app must be a name';
  if (typeof workspace !== 'string' || !WORKSPACE_NAME.test(workspace))
    return 'workspace must be the name of one workspace';
  const stated = typeof operations === 'string' ? operations.split(',') : [];
  const known = SECRET_OPERATIONS.filter((operation) => stated.includes(operation));
  if (known.length === 0 || known.length !== stated.length)
    return `operations must be some of ${SECRET_OPERATIONS.join(',')}, separated by commas`;
  return { user, app, workspace, operations: known };
}
