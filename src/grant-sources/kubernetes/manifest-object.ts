import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Manifest, parseManifest } from '../../authz/manifest';
import type { Refusal } from '../../authz/plain-yaml';
import type { MonotonicTime } from '../../time/clock';
import { ownField } from '../../json/json';
import { createdAtMs, isBeingDeleted, type KubeObject } from '../../kubernetes/kube-object';

const DATA_KEY = 'OlaresManifest.yaml';
const MAX_BYTES = 64 * 1024;

/** Installations of one app have one manifest, which is parsed once. An app may change its own all the time, so few are known. */
const known = new LRUCache<string, Manifest | Refusal>({
  max: 1_000,
  maxSize: 50_000,
  sizeCalculation: (manifest) =>
    'refused' in manifest ? 1 : 1 + 2 * manifest.grants.length + manifest.warnings.length,
});

/** One ConfigMap. Its text is held until it is parsed, and no longer. */
export class ManifestObject {
  readonly createdAtMs: number;
  readonly isBeingDeleted: boolean;
  /** Of the text; two objects with the same fields are equal. */
  digest: string;
  #text = '';
  #manifest: Manifest | Refusal | undefined;

  constructor(object: KubeObject) {
    this.createdAtMs = createdAtMs(object);
    this.isBeingDeleted = isBeingDeleted(object);
    const text = ownField(object.body['data'], DATA_KEY);
    this.digest = hash('sha256', JSON.stringify([text]), 'base64');
    if (typeof text !== 'string') this.#manifest = { refused: `data has no ${DATA_KEY}`, line: 1 };
    else if (Buffer.byteLength(text) > MAX_BYTES)
      this.#manifest = { refused: `larger than ${MAX_BYTES} bytes`, line: 1 };
    else this.#text = text;
  }

  get isParsed(): boolean {
    return this.#manifest !== undefined;
  }

  /** Parses the text at the first call: that of a hostile manifest takes a tenth of a second. */
  manifest(): Manifest | Refusal {
    if (this.digest === '') return DROPPED;
    if (this.#manifest !== undefined) return this.#manifest;
    this.#manifest = known.get(this.digest) ?? parseManifest(this.#text);
    known.set(this.digest, this.#manifest);
    this.#text = '';
    return this.#manifest;
  }

  /** Drops the content. The object is then equal to no other, so that the next list reads it again. */
  drop(): void {
    this.digest = '';
    this.#text = '';
    this.#manifest = undefined;
  }
}

const DROPPED: Refusal = { refused: 'changed too often; it is read again within ten minutes', line: 1 };

/** So many changes of one namespace are read at once, and then one in each second: an app may change its ConfigMaps all the time. */
const CHANGES_AT_ONCE = 10;
const CHANGE_EVERY_MS = 1_000;

/**
 * The ConfigMaps of one namespace, in the order in which they came, and the pace of their changes. However many an app makes,
 * the content of no more than CHANGES_AT_ONCE is held: where there are several, none counts.
 */
export class ManifestNamespace {
  private readonly objects = new Map<string, ManifestObject>();
  /** The only one whose text is held before it is put: a list reads all of them before it puts the first. */
  private unread: ManifestObject | undefined;
  /** Until when its changes use up what is read at once. */
  private busyUntilMs = 0;
  private waiting = false;

  /** @param onTurn called when the namespace no longer waits */
  constructor(
    private readonly time: MonotonicTime,
    private readonly onTurn: () => void,
  ) {}

  get size(): number {
    return this.objects.size;
  }

  get first(): readonly [key: string, object: ManifestObject] | undefined {
    const [first] = this.objects;
    return first;
  }

  /** True while it changes too often: what it grants may end, and nothing begins before its next turn. */
  get isWaiting(): boolean {
    return this.waiting;
  }

  /** True where nothing is known of it that a later change would need. */
  get isForgettable(): boolean {
    const isQuiet = this.busyUntilMs <= this.time.nowMs() + CHANGE_EVERY_MS;
    return this.size === 0 && isQuiet && !this.waiting;
  }

  /** Reads a ConfigMap, and parses it unless there are too many changes. Unparsed, a text is held where it may be the only one. */
  read(key: string, object: KubeObject): ManifestObject {
    const read = new ManifestObject(object);
    const others = this.size - (this.objects.has(key) ? 1 : 0);
    if (this.mayChange()) read.manifest();
    else if (others > 0) read.drop();
    else {
      this.unread?.drop();
      this.unread = read;
    }
    return read;
  }

  put(key: string, object: ManifestObject): void {
    this.unread = undefined;
    this.objects.set(key, object);
    if (this.size > (object.isParsed ? CHANGES_AT_ONCE : 1)) object.drop();
    if (!object.isParsed) this.wait();
  }

  remove(key: string): void {
    this.objects.delete(key);
    if (!this.mayChange()) this.wait();
  }

  /** Counts a change unless there were too many. */
  private mayChange(): boolean {
    const nowMs = this.time.nowMs();
    const busyUntilMs = Math.max(this.busyUntilMs, nowMs) + CHANGE_EVERY_MS;
    if (busyUntilMs - nowMs > CHANGES_AT_ONCE * CHANGE_EVERY_MS) return false;
    this.busyUntilMs = busyUntilMs;
    return true;
  }

  /** Waits for the next turn, which counts as one change. */
  private wait(): void {
    if (this.waiting) return;
    this.waiting = true;
    this.time.after(CHANGE_EVERY_MS, () => {
      this.waiting = false;
      this.busyUntilMs = Math.max(this.busyUntilMs, this.time.nowMs()) + CHANGE_EVERY_MS;
      this.onTurn();
    });
  }
}
