import { isDeepStrictEqual } from 'node:util';
import type { RegistrationObject } from './manifests';
import { objectKeyOf, type KubeObject } from '../kubernetes/kube-object';
import { kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { Informer } from '../kubernetes/informer';
import type { InformerDeps } from '../kubernetes/informer-options';
import { ReconcileFailures } from './reconcile-failures';
import { RepairQueue } from './repair-queue';

/**
 * How an object of the cluster stands to what we want: as wanted, drifted from it, or another provider's
 * for the same data.
 */
type SyncState = 'right' | 'drifted' | 'rival';

/** @param body the object as the API server shows it */
function syncStateOf(
  body: Readonly<Record<string, unknown>>,
  wanted: RegistrationObject,
): 'right' | 'drifted' {
  return contains(body, wanted) ? 'right' : 'drifted';
}

/** Every wanted field is there as wanted; arrays must be equal as a whole. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) {
    return isDeepStrictEqual(actual, wanted);
  }
  if (typeof actual !== 'object' || actual === null) return false;
  const fields = actual as Readonly<Record<string, unknown>>;
  return Object.entries(wanted).every(([name, value]) => contains(fields[name], value));
}

interface ReconcilerOptions {
  /** Root of the API group, e.g. `/apis/sys.bytetrade.io/v1alpha1`. */
  readonly root: string;
  readonly plural: string;
  /** Watches this namespace only; undefined: all of them. */
  readonly namespace?: string;
  /** What is wanted under this name, whether or not it is wanted now; undefined where nothing ever is. */
  readonly manifestOf: (namespace: string, name: string) => RegistrationObject | undefined;
  /** Whether an object that is not ours serves what ours is for. */
  readonly isConflict?: (object: KubeObject) => boolean;
}

const TIMEOUT_MS = 10_000;

/** Keeps wanted objects as they should be, one write after the other: makes what is missing, mends what drifted. */
export class Reconciler {
  private readonly wanted = new Map<string, RegistrationObject>();
  private readonly queue: RepairQueue;
  private readonly failures: ReconcileFailures;
  private readonly collection: Informer<SyncState | undefined>;
  private readonly stopping = new AbortController();
  private sleeping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: ReconcilerOptions,
    private readonly deps: InformerDeps,
  ) {
    this.queue = new RepairQueue(deps);
    this.failures = new ReconcileFailures(options.plural, deps);
    this.collection = new Informer(
      {
        path: this.pathOf(options.namespace),
        read: (object) => this.read(object),
        onPut: (key, syncState) => this.seen(key, syncState),
        onRemoved: (key) => this.seen(key, undefined),
        onListed: () => this.checkAll(),
      },
      deps,
    );
  }

  start(): void {
    this.collection.start();
    this.running = this.run();
  }

  want(manifest: RegistrationObject): void {
    const { namespace, name } = manifest.metadata;
    const key = objectKeyOf(namespace, name);
    this.wanted.set(key, manifest);
    this.check(key);
  }

  /** Its namespace is going, and takes it along. */
  unwant(namespace: string, name: string): void {
    const key = objectKeyOf(namespace, name);
    this.wanted.delete(key);
    this.queue.forget(key);
    this.failures.over(key);
  }

  /** How many of the wanted objects cannot be made or kept. */
  get failing(): number {
    return new Set([...this.failures.keys(), ...this.queue.stuck]).size;
  }

  get plural(): string {
    return this.options.plural;
  }

  /** One sentence each. */
  problems(): readonly string[] {
    return this.failures.sentences(this.failing, this.wanted.size);
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.stopping.abort();
    this.sleeping.abort();
    await Promise.all([this.collection.stop(), this.running]);
  }

  private read(object: KubeObject): SyncState | undefined {
    const manifest = this.options.manifestOf(object.namespace, object.name);
    if (manifest !== undefined) return syncStateOf(object.body, manifest);
    return this.options.isConflict?.(object) === true ? 'rival' : undefined;
  }

  private seen(key: string, syncState: SyncState | undefined): void {
    this.failures.conflict(key, syncState === 'rival');
    this.check(key);
  }

  private checkAll(): void {
    for (const key of this.wanted.keys()) this.check(key);
  }

  private check(key: string): void {
    if (!this.collection.listed || !this.wanted.has(key)) return;
    if (this.collection.get(key) === 'right') {
      this.queue.settled(key);
      this.failures.over(key);
    } else {
      this.queue.add(key);
      this.sleeping.abort();
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // Made anew before the look: what falls due during it is not slept over.
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
    const syncState = this.collection.get(key);
    if (manifest === undefined || syncState === 'right') return;
    const exists = syncState !== undefined;
    try {
      await this.write(manifest, exists);
      this.failures.wrote(key, exists ? 'mended' : 'made');
      this.failures.over(key);
      this.queue.succeeded();
    } catch (error: unknown) {
      const failure = kubernetesFailureOf(error);
      // Another replica made it, or somebody removed it; the watch tells, and asks for what is left to do.
      const isOver = failure.status === 409 || (exists && failure.status === 404);
      if (isOver || this.stopping.signal.aborted) return;
      this.queue.failed(failure.retryAfterMs ?? 0);
      this.failures.begin(key, failure);
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
    // A kind whose schema does not know a field takes it out without a word.
    if (syncStateOf(answer as Readonly<Record<string, unknown>>, manifest) !== 'right')
      throw new KubernetesFailure('FieldsDropped');
  }

  private pathOf(namespace: string | undefined): string {
    const { root, plural } = this.options;
    return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
  }
}
