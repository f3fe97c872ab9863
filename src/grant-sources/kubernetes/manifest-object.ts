import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Manifest, parseManifest } from '../../authz/manifest';
import type { Refusal } from '../../authz/plain-yaml';
import { ownField } from '../../json/json';
import { createdAtMs, isBeingDeleted, type KubeObject } from '../../kubernetes/kube-object';

const DATA_KEY = 'OlaresManifest.yaml';
const MAX_BYTES = 64 * 1024;

/** Installations of one app have one manifest, which is parsed once. */
const known = new LRUCache<string, Manifest | Refusal>({
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
    this.digest = createHash('sha256')
      .update(JSON.stringify([text]))
      .digest('base64');
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
    if (this.#manifest !== undefined) return this.#manifest;
    this.#manifest = known.get(this.digest) ?? parseManifest(this.#text);
    known.set(this.digest, this.#manifest);
    this.#text = '';
    return this.#manifest;
  }

  /** Drops a text that is not to be parsed. The object is then equal to no other, so that the next list reads it again. */
  drop(): void {
    this.digest = '';
    this.#text = '';
    this.#manifest = { refused: 'changed too often; it is read again within ten minutes', line: 1 };
  }
}
