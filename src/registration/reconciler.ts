import { isDeepStrictEqual } from 'node:util';
import type { RegistrationObject } from './manifests';
import { objectKeyOf, type KubeObject } from '../kubernetes/kube-object';
import { kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { Informer } from '../kubernetes/informer';
import type { InformerDeps } from '../kubernetes/informer-options';
import { ReconcileFailures } from './reconcile-failures';
import { RepairQueue } from './repair-queue';

const TIMEOUT_MS = 10_000;

interface ReconcilerOptions {
  /** The root of the API group, such as `/apis/sys.bytetrade.io/v1alpha1`. */
  readonly root: string;
  readonly plural: string;
  /** The only namespace that is watched; undefined for all of them. */
  readonly namespace?: string;
  /** Returns the manifest of this name, whether or not it is wanted now; undefined where there is none. */
  readonly manifestOf: (namespace: string, name: string) => RegistrationObject | undefined;
  /** Returns true for an object that is not ours, but serves the same purpose. */
  readonly isConflict?: (object: KubeObject) => boolean;
}

/** The state of an object in the cluster: as wanted, changed, or another provider's for the same data. */
type SyncState = 'synced' | 'drifted' | 'conflict';

/** Keeps the wanted objects synced, one write after the other: creates missing ones and patches those that drifted. */
export class Reconciler {
  private readonly wanted = new Map<string, RegistrationObject>();
  private readonly queue: RepairQueue;
  private readonly failures: ReconcileFailures;
  private readonly informer: Informer<SyncState | undefined>;
  private readonly stopping = new AbortController();
  private sleeping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: ReconcilerOptions,
    private readonly deps: InformerDeps,
  ) {
    this.queue = new RepairQueue(deps);
    this.failures = new ReconcileFailures(options.plural, deps);
    this.informer = new Informer(
      {
        path: this.pathOf(options.namespace),
        read: (object) => this.read(object),
        onPut: (key, syncState) => this.observed(key, syncState),
        onRemoved: (key) => this.observed(key, undefined),
        onListed: () => {
          for (const key of this.wanted.keys()) this.check(key);
        },
      },
      deps,
    );
  }

  start(): void {
    this.informer.start();
    this.running = this.run();
  }

  want(manifest: RegistrationObject): void {
    const { namespace, name } = manifest.metadata;
    const key = objectKeyOf(namespace, name);
    this.wanted.set(key, manifest);
    this.check(key);
  }

  /** Stops reconciling an object, whose namespace is being deleted with it. */
  unwant(namespace: string, name: string): void {
    const key = objectKeyOf(namespace, name);
    this.wanted.delete(key);
    this.queue.forget(key);
    this.failures.recovered(key);
  }

  /** How many of the wanted objects cannot be created or patched. */
  get failing(): number {
    return new Set([...this.failures.keys(), ...this.queue.stuck]).size;
  }

  get plural(): string {
    return this.options.plural;
  }

  /** Returns what an operator should fix, one sentence each. */
  problems(): readonly string[] {
    return this.failures.sentences(this.failing, this.wanted.size);
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.stopping.abort();
    this.sleeping.abort();
    await Promise.all([this.informer.stop(), this.running]);
  }

  private read(object: KubeObject): SyncState | undefined {
    const manifest = this.options.manifestOf(object.namespace, object.name);
    if (manifest !== undefined) return contains(object.body, manifest) ? 'synced' : 'drifted';
    return this.options.isConflict?.(object) === true ? 'conflict' : undefined;
  }

  private observed(key: string, syncState: SyncState | undefined): void {
    this.failures.conflict(key, syncState === 'conflict');
    this.check(key);
  }

  private check(key: string): void {
    if (!this.informer.listed || !this.wanted.has(key)) return;
    if (this.informer.get(key) === 'synced') {
      this.queue.settled(key);
      this.failures.recovered(key);
    } else {
      this.queue.add(key);
      this.sleeping.abort();
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // Created before the queue is read, so that an object that is added meanwhile ends the pause.
      this.sleeping = new AbortController();
      const woken = this.sleeping.signal;
      const [key, waitMs] = this.queue.next();
      if (key !== undefined) await this.repair(key);
      else await this.deps.time.pause(waitMs, woken);
    }
  }

  private async repair(key: string): Promise<void> {
    this.queue.begin(key);
    const manifest = this.wanted.get(key);
    const syncState = this.informer.get(key);
    if (manifest === undefined || syncState === 'synced') return;
    const exists = syncState !== undefined;
    try {
      await this.write(manifest, exists);
      this.failures.wrote(key, exists ? 'patched' : 'created');
      this.failures.recovered(key);
      this.queue.succeeded();
    } catch (error: unknown) {
      const failure = kubernetesFailureOf(error);
      // Another replica created it, or somebody removed it: the watch will show it, and check it again.
      const hasChanged = failure.status === 409 || (exists && failure.status === 404);
      if (hasChanged || this.stopping.signal.aborted) return;
      this.queue.failed(failure.retryAfterMs ?? 0);
      this.failures.failed(key, failure);
      this.check(key);
    }
  }

  private async write(manifest: RegistrationObject, exists: boolean): Promise<void> {
    const { namespace, name } = manifest.metadata;
    const collection = this.pathOf(namespace);
    const call = exists
      ? ({ method: 'PATCH', path: `${collection}/${name}` } as const)
      : ({ method: 'POST', path: collection } as const);
    const { signal } = this.stopping;
    const answer = await this.deps.api.send({ ...call, body: manifest, timeoutMs: TIMEOUT_MS, signal });
    // The API server silently drops fields that the schema of the kind does not have.
    if (!contains(answer, manifest)) throw new KubernetesFailure('FieldsDropped');
  }

  private pathOf(namespace: string | undefined): string {
    const { root, plural } = this.options;
    return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
  }
}

/** Returns true where `actual` has every wanted field with the wanted value; arrays must be equal as a whole. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) {
    return isDeepStrictEqual(actual, wanted);
  }
  if (typeof actual !== 'object' || actual === null) return false;
  const fields = actual as Readonly<Record<string, unknown>>;
  return Object.entries(wanted).every(([name, value]) => contains(fields[name], value));
}
