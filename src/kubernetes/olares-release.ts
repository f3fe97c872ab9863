import type { InformerDeps } from './informer';
import { annotationOf, type KubeObject, labelOf, ObjectLister } from './kube-object';
import { type KubernetesFailure, kubernetesFailureOf } from './kubernetes-api';

/** Which Olares a cluster runs, as far as it matters for grants: from 1.12.1 on it makes no ApplicationPermissions. */
export type OlaresRelease = 'up-to-1.12.0' | 'since-1.12.1' | 'unknown';

const CLUSTER_ROLES = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
/** From 1.12.1 on system-server decides by ClusterRoles with this annotation, and Olares has some of its own for each user. */
const ANNOTATION = 'provider-registry-ref';
/** The value of label `app.kubernetes.io/managed-by` on what this service makes itself. */
const OURS = 'olares-secret-provider';

/** How soon it is asked again: after a failure, and for an upgrade or for rights that we did not have. */
const RETRY_MS = 5_000;
const AGAIN_MS = 600_000;
/** An API server that has just started refuses everybody until it has read its roles, so that fewer refusals in a row say nothing. */
export const LASTING_REFUSALS = 3;

/**
 * Finds out which Olares runs the cluster: by its ClusterRoles, unless the settings say it. Once 1.12.1 is seen that stays so.
 */
export class OlaresReleaseProbe {
  private found: OlaresRelease;
  private hasAnswer: boolean;
  private refusalsInARow = 0;
  private failure: KubernetesFailure | undefined;
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  /** One of Olares' own says enough. */
  private readonly roles: ObjectLister<boolean>;
  private settleFirst: () => void = () => undefined;
  /** Resolves with the first answer, or with the first failure if that comes first. */
  readonly firstOutcome = new Promise<void>((resolve) => (this.settleFirst = resolve));

  constructor(
    private readonly setting: 'auto' | Exclude<OlaresRelease, 'unknown'>,
    private readonly deps: Pick<InformerDeps, 'api' | 'time' | 'log'>,
    private readonly onChange: () => void,
  ) {
    const listed = { path: CLUSTER_ROLES, read: isOfOlares, until: (isTheirs: boolean) => isTheirs };
    this.roles = new ObjectLister(listed, deps.api);
    this.found = setting === 'auto' ? 'unknown' : setting;
    this.hasAnswer = setting !== 'auto';
    if (this.hasAnswer) this.settleFirst();
  }

  get release(): OlaresRelease {
    return this.found;
  }

  /** True once the API server has answered, or refuses it for good; before, nothing may be decided by `release`. */
  get settled(): boolean {
    return this.hasAnswer;
  }

  /** Why the API server did not answer the latest time, in a few words. */
  get syncError(): string | undefined {
    return this.failure?.message;
  }

  start(): void {
    if (this.setting === 'auto') this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.settleFirst();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted && this.found !== 'since-1.12.1') {
      const waitMs = await this.ask(signal);
      this.settleFirst();
      await this.deps.time.pause(waitMs, signal);
    }
  }

  /** Returns how long to wait before the next time. */
  private async ask(signal: AbortSignal): Promise<number> {
    try {
      const { objects } = await this.roles.list(new Map(), signal);
      this.refusalsInARow = 0;
      this.failure = undefined;
      this.settle([...objects.values()].includes(true) ? 'since-1.12.1' : 'up-to-1.12.0');
      return AGAIN_MS;
    } catch (error: unknown) {
      const failure = kubernetesFailureOf(error);
      this.failure = failure;
      this.refusalsInARow = isRefusal(failure) ? this.refusalsInARow + 1 : 0;
      if (this.refusalsInARow < LASTING_REFUSALS) return RETRY_MS;
      if (!this.hasAnswer) this.deps.log('warn', 'olares_release_unknown', { reason: failure.message });
      this.settle(this.found);
      return Math.min(AGAIN_MS, RETRY_MS * 2 ** (this.refusalsInARow - LASTING_REFUSALS));
    }
  }

  private settle(release: OlaresRelease): void {
    const isNew = !this.hasAnswer || release !== this.found;
    [this.found, this.hasAnswer] = [release, true];
    if (isNew) this.onChange();
  }
}

function isOfOlares(role: KubeObject): boolean {
  return (
    annotationOf(role, ANNOTATION) !== undefined && labelOf(role, 'app.kubernetes.io/managed-by') !== OURS
  );
}

/** Where a server refuses us again and again it will go on doing so; anything else may pass. */
function isRefusal({ status }: KubernetesFailure): boolean {
  return status === 401 || status === 403;
}
