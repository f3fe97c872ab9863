import { objectKeyOf } from '../kubernetes/kube-object';
import { kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { Informer, type InformerDeps } from '../kubernetes/informer';
import {
  collectionPath,
  digestOf,
  ObjectWriter,
  observe,
  type Observed,
  type ObserveOptions,
  type RegistrationObject,
} from './registered-objects';
import { ReconcileFailures, RepairQueue, type WritePace } from './reconciled-writes';

export interface ReconcilerOptions extends ObserveOptions {
  /** The root of the API group, such as `/apis/sys.bytetrade.io/v1alpha1`. */
  readonly root: string;
  readonly plural: string;
  /** The only namespace that is watched; undefined for all of them. */
  readonly namespace?: string;
  /** What is watched: objects without it are not seen, and those of a wanted name are foreign. */
  readonly labelSelector?: string;
  /** Returns the manifest of this name as it should be now; undefined where there should be none. */
  readonly manifestOf: (namespace: string, name: string) => RegistrationObject | undefined;
  /** Returns true where objects of ours that are not wanted are removed; never by default. */
  readonly removes?: () => boolean;
  /** How many writes run at once, and how fast they follow one another: one after the other by default. */
  readonly pace?: WritePace & { readonly atOnce: number };
  /** The objects that those of the same key here need: they are written only after these are synced. */
  readonly after?: Reconciler;
}

/** One that is missing after its first removal is made again at once, and then ever more slowly. */
const MADE_AND_REMOVED = 2;

/** Keeps the wanted objects synced: creates missing ones, patches those that drifted, and may remove those of ours that are not wanted. */
export class Reconciler {
  private readonly wanted = new Map<string, { namespace: string; name: string; digest: string }>();
  private readonly queue: RepairQueue;
  private readonly failures: ReconcileFailures;
  private readonly informer: Informer<Observed | undefined>;
  private readonly writer: ObjectWriter;
  private readonly stopping = new AbortController();
  private waking = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** The keys of the objects of ours that exist, wanted or not. */
  private readonly ours = new Set<string>();
  /** Keys that exist, as a create was told, and are not seen. */
  private readonly unseen = new Set<string>();
  private readonly next: Reconciler[] = [];

  constructor(
    private readonly options: ReconcilerOptions,
    private readonly deps: InformerDeps,
  ) {
    const { root, plural, namespace, labelSelector, pace, after } = options;
    this.queue = new RepairQueue(deps, pace);
    this.failures = new ReconcileFailures(plural, deps);
    this.writer = new ObjectWriter(options, deps.api, this.stopping.signal);
    after?.next.push(this);
    this.informer = new Informer(
      {
        path: collectionPath(root, plural, namespace),
        ...(labelSelector !== undefined && { labelSelector }),
        read: (object) => observe(object, options),
        onPut: (key, observed) => this.observed(key, observed),
        onRemoved: (key) => this.observed(key, undefined),
        onListed: () => this.checkAll(),
      },
      deps,
    );
  }

  start(): void {
    this.informer.start();
    this.running = Promise.all(Array.from({ length: this.options.pace?.atOnce ?? 1 }, () => this.run()));
  }

  /** @param isUrgent false for one of many, which others may overtake */
  want(manifest: RegistrationObject, isUrgent = true): void {
    const { namespace = '', name } = manifest.metadata;
    const key = objectKeyOf(namespace, name);
    const digest = digestOf(manifest, manifest);
    const before = this.wanted.get(key);
    if (before?.digest === digest) return;
    this.wanted.set(key, { namespace, name, digest });
    // What was written before was another object: it says nothing about this one. One that comes and goes may be the same.
    if (before !== undefined) this.queue.forget(key);
    this.check(key, isUrgent, MADE_AND_REMOVED);
  }

  /** Stops reconciling an object, which is removed where `removes` allows it. */
  unwant(namespace: string, name: string): void {
    const key = objectKeyOf(namespace, name);
    if (!this.wanted.delete(key)) return;
    this.settled(key);
    this.check(key, true, Infinity);
  }

  /** Compares every object anew. */
  checkAll(): void {
    for (const key of new Set([...this.ours, ...this.wanted.keys()])) this.check(key, false);
  }

  /** How many of the objects cannot be created, patched or removed. */
  get failing(): number {
    return new Set([...this.failures.keys(), ...this.queue.stuck]).size;
  }

  get plural(): string {
    return this.options.plural;
  }

  /** Returns what an operator should fix, one sentence each. */
  problems(): readonly string[] {
    return this.failures.sentences(this.failing, Math.max(this.failing, this.wanted.size));
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.stopping.abort();
    this.waking.abort();
    await Promise.all([this.informer.stop(), this.running]);
  }

  private observed(key: string, observed: Observed | undefined): void {
    if (observed?.owner === 'us') this.ours.add(key);
    else this.ours.delete(key);
    this.unseen.delete(key);
    this.failures.conflict(key, observed?.owner === 'a conflict');
    const whileWanted = observed === undefined ? MADE_AND_REMOVED : 0;
    this.check(key, true, this.wanted.has(key) ? whileWanted : Infinity);
  }

  private isSynced(key: string): boolean {
    const [wanted, found] = [this.wanted.get(key), this.informer.get(key)];
    return wanted !== undefined && found?.owner === 'us' && found.digest === wanted.digest;
  }

  /** @param writesAtOnce how many earlier writes delay nothing */
  private check(key: string, isUrgent = true, writesAtOnce = 0): void {
    if (!this.informer.listed) return;
    const { after, removes } = this.options;
    if (this.isSynced(key)) {
      this.settled(key);
      for (const next of this.next) next.check(key, isUrgent, MADE_AND_REMOVED);
    } else if (
      this.wanted.has(key) ? after?.isSynced(key) !== false : this.isLeft(key) && removes?.() === true
    ) {
      this.queue.add(key, isUrgent, writesAtOnce);
      this.waking.abort();
    } else this.settled(key);
  }

  private settled(key: string): void {
    this.queue.settled(key);
    this.failures.recovered(key);
  }

  /** True for an object of ours that is not wanted. */
  private isLeft(key: string): boolean {
    return !this.wanted.has(key) && this.ours.has(key);
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // Made before the queue is read, so that an object that is added meanwhile ends the pause.
      if (this.waking.signal.aborted) this.waking = new AbortController();
      const woken = this.waking.signal;
      const [key, waitMs] = this.queue.next();
      if (key !== undefined) await this.repair(key);
      else await this.deps.time.pause(waitMs, woken);
    }
  }

  private async repair(key: string): Promise<void> {
    this.queue.begin(key);
    const wanted = this.wanted.get(key);
    const found = this.informer.get(key);
    try {
      const how = await this.write(key, wanted);
      if (how === undefined) return;
      this.failures.wrote(key, how);
      this.failures.recovered(key);
      this.queue.succeeded();
    } catch (error: unknown) {
      this.failed(key, kubernetesFailureOf(error), found);
    } finally {
      this.queue.ended(key);
      if (this.wanted.get(key) !== wanted) this.check(key);
    }
  }

  /** Returns what was done; undefined where there was nothing to do. @throws KubernetesFailure */
  private async write(
    key: string,
    wanted: { readonly namespace: string; readonly name: string } | undefined,
  ): Promise<'created' | 'patched' | 'removed' | undefined> {
    const found = this.informer.get(key);
    const uid = found?.owner === 'us' ? found.uid : undefined;
    if (wanted === undefined) {
      if (!this.isLeft(key) || this.options.removes?.() !== true) return undefined;
      const [name = '', namespace = ''] = key.split('/').reverse();
      await this.writer.remove(namespace, name, uid);
      return 'removed';
    }
    const { namespace, name } = wanted;
    const manifest = this.options.manifestOf(namespace, name);
    if (manifest === undefined || this.isSynced(key)) return undefined;
    if (found?.owner === 'another') throw new KubernetesFailure(NOT_OURS);
    if (found === undefined) {
      await this.writer.create(manifest);
      return 'created';
    }
    try {
      await this.writer.patch(manifest, uid);
      return 'patched';
    } catch (error: unknown) {
      // The role of a binding cannot be changed: once it is removed, it is made anew.
      if (kubernetesFailureOf(error).status !== 422 || manifest['roleRef'] === undefined) throw error;
      await this.writer.remove(namespace, name, uid);
      return 'removed';
    }
  }

  /** @param found what was there when it was tried */
  private failed(key: string, failure: KubernetesFailure, found: Observed | undefined): void {
    const { status, reason } = failure;
    if (this.stopping.signal.aborted) return;
    if (status === 409 && found === undefined && this.options.labelSelector !== undefined) {
      // Another replica made it, and the watch will show it; if it never does, it lacks our label.
      if (this.unseen.has(key)) this.failures.failed(key, new KubernetesFailure(NOT_OURS));
      if (this.informer.get(key) === undefined) this.unseen.add(key);
      return this.check(key);
    }
    // Another replica wrote it, or somebody removed it: the watch will show it, and check it again, or has done so meanwhile.
    if (status === 409 || (found !== undefined && status === 404)) {
      if (found !== undefined) this.queue.forget(key);
      if (this.informer.get(key) !== found) this.check(key);
      return;
    }
    if (reason !== NOT_OURS) this.queue.failed(failure.retryAfterMs ?? 0);
    this.failures.failed(key, failure);
    this.check(key);
  }
}

/** An object of a wanted name that this service did not make: it is left alone. */
const NOT_OURS = 'NotOurs';
