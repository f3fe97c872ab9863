import { Mutex } from 'async-mutex';
import { BackOff } from '../kubernetes/back-off';
import { keyOf, type KubeObject } from '../kubernetes/kube-object';
import { failureOf } from '../kubernetes/kubernetes-failure';
import { WatchedCollection } from '../kubernetes/watched-collection';
import type { CollectionSurroundings } from '../kubernetes/watched-collection-options';
import type { Manifest } from './manifests';
import { type Standing, standingOf } from './standing';

export interface KeptCollectionOptions {
  /** Root of the API group, e.g. `/apis/sys.bytetrade.io/v1alpha1`. */
  readonly root: string;
  readonly plural: string;
  /** Watches this namespace only; undefined: all of them. */
  readonly namespace?: string;
  /** What is wanted under this name, whether or not it is wanted now; undefined where nothing ever is. */
  readonly manifestOf: (namespace: string, name: string) => Manifest | undefined;
  /** Whether an object that is not ours serves what ours is for. */
  readonly isRival?: (object: KubeObject) => boolean;
}

interface Repair {
  readonly backOff: BackOff;
  lastMs: number;
}

const TIMEOUT_MS = 10_000;
const BACK_OFF = { firstMs: 1_000, mostMs: 300_000 };
/** What stayed right for so long has no more quarrel behind it. */
const SETTLED_MS = 600_000;

/**
 * Keeps wanted objects as they should be: makes what is missing, mends what drifted. Each object is written at most once
 * per back-off, so that two versions of us, or an API server that drops a field, quarrel slowly.
 */
export class KeptCollection {
  private readonly wanted = new Map<string, Manifest>();
  private readonly scheduled = new Map<string, () => void>();
  private readonly repairs = new Map<string, Repair>();
  private readonly collection: WatchedCollection<Standing | undefined>;
  private readonly turns = new Mutex();
  private readonly stopping = new AbortController();

  constructor(
    private readonly options: KeptCollectionOptions,
    private readonly around: CollectionSurroundings,
  ) {
    this.collection = new WatchedCollection(
      {
        path: this.pathOf(options.namespace),
        read: (object) => this.read(object),
        onPut: (key, standing) => this.seen(key, standing),
        onRemoved: (key) => this.check(key),
        onListed: () => this.checkAll(),
      },
      around,
    );
    this.collection.start();
  }

  want(manifest: Manifest): void {
    const { namespace, name } = manifest.metadata;
    const key = keyOf(namespace, name);
    this.wanted.set(key, manifest);
    this.check(key);
  }

  /** Its namespace is going, and takes it along. */
  unwant(namespace: string, name: string): void {
    const key = keyOf(namespace, name);
    this.wanted.delete(key);
    this.repairs.delete(key);
    this.callOff(key);
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.stopping.abort();
    for (const key of [...this.scheduled.keys()]) this.callOff(key);
    await Promise.all([this.collection.stop(), this.turns.waitForUnlock()]);
  }

  private read(object: KubeObject): Standing | undefined {
    const manifest = this.options.manifestOf(object.namespace, object.name);
    if (manifest !== undefined) return standingOf(object.body, manifest);
    return this.options.isRival?.(object) === true ? 'rival' : undefined;
  }

  private seen(key: string, standing: Standing | undefined): void {
    if (standing !== 'rival') return this.check(key);
    const { plural } = this.options;
    this.around.log('warn', 'registration_rival', { plural, object: key });
  }

  private checkAll(): void {
    for (const key of this.wanted.keys()) this.check(key);
  }

  private check(key: string): void {
    if (this.stopping.signal.aborted || !this.collection.listed || !this.wanted.has(key)) return;
    if (this.collection.get(key) === 'right') return this.callOff(key);
    if (this.scheduled.has(key)) return;
    const repair = () => void this.turns.runExclusive(() => this.repair(key));
    this.scheduled.set(key, this.around.time.after(this.waitMsOf(key), repair));
  }

  private waitMsOf(key: string): number {
    const known = this.repairs.get(key);
    if (known === undefined) return 0;
    if (this.around.time.nowMs() - known.lastMs > SETTLED_MS) known.backOff.reset();
    return known.backOff.nextMs();
  }

  private callOff(key: string): void {
    this.scheduled.get(key)?.();
    this.scheduled.delete(key);
  }

  private async repair(key: string): Promise<void> {
    this.scheduled.delete(key);
    const manifest = this.wanted.get(key);
    const standing = this.collection.get(key);
    if (this.stopping.signal.aborted || manifest === undefined || standing === 'right') return;
    const random = this.around.random ?? Math.random;
    const known = this.repairs.get(key) ?? { backOff: new BackOff({ ...BACK_OFF, random }), lastMs: 0 };
    this.repairs.set(key, known);
    known.lastMs = this.around.time.nowMs();
    const { plural } = this.options;
    try {
      const how = await this.write(manifest, standing !== undefined);
      this.around.log('info', 'registration_kept', { plural, object: key, how });
    } catch (error: unknown) {
      const { reason, status } = failureOf(error);
      // Another replica made it, or somebody removed it; the watch tells, and asks for what is left to do.
      if (status === 409 || (standing !== undefined && status === 404)) return;
      if (!this.stopping.signal.aborted) {
        this.around.log('warn', 'registration_failed', { plural, object: key, reason, status });
      }
      this.check(key);
    }
  }

  private async write(manifest: Manifest, exists: boolean): Promise<'made' | 'mended'> {
    const { namespace, name } = manifest.metadata;
    const collection = this.pathOf(namespace);
    const call = exists
      ? ({ method: 'PATCH', path: `${collection}/${name}` } as const)
      : ({ method: 'POST', path: collection } as const);
    const { signal } = this.stopping;
    await this.around.api.send({ ...call, body: manifest, timeoutMs: TIMEOUT_MS, signal });
    return exists ? 'mended' : 'made';
  }

  private pathOf(namespace: string | undefined): string {
    const { root, plural } = this.options;
    return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
  }
}
