import type { ClassicLevel } from 'classic-level';
import { createHmac, type KeyObject } from 'node:crypto';
import type { SecretScope, Secret, Usage } from '../../secrets/secret';
import { lengthPrefixed, NotAuthentic, seal, SEAL_BYTES, unseal } from './seal';
import { FORMAT_VERSION } from './vault/vault-meta';

export type VaultDatabase = ClassicLevel<Buffer, Buffer>;

const WORKSPACE = Buffer.from([2]);
const SECRET = Buffer.from([3]);

export const META_RECORD_KEY = Buffer.from([1]);
/** Half-open ranges of record keys. */
export const WORKSPACE_RECORDS = { gte: WORKSPACE, lt: SECRET };
export const ALL_RECORDS = { gte: META_RECORD_KEY, lt: Buffer.from([4]) };
export const WRAPPED_RECORDS = { start: META_RECORD_KEY, end: SECRET };

export function isSecretKey(recordKey: Buffer): boolean {
  return recordKey[0] === SECRET[0];
}

const SCOPE_BYTES = 33;
const LAST_NAME = Buffer.alloc(32, 0xff);

/** The range of the scope that the record of a secret is in. */
export function scopeRangeOf(recordKey: Buffer): { readonly gte: Buffer; readonly lte: Buffer } {
  const gte = recordKey.subarray(0, SCOPE_BYTES);
  return { gte, lte: Buffer.concat([gte, LAST_NAME]) };
}

export type WorkspaceOfUser = Pick<SecretScope, 'user' | 'workspace'>;

/**
 * Where records lie: keyed hashes, so that no name can be read from the files or guessed without the key.
 * A workspace is 2 | HMAC(user, workspace); a secret is 3 | HMAC(scope) | HMAC(scope, name); 32 bytes each.
 */
export class RecordKeys {
  constructor(private readonly indexKey: KeyObject) {}

  ofWorkspace({ user, workspace }: WorkspaceOfUser): Buffer {
    return Buffer.concat([WORKSPACE, this.hash('workspace', user, workspace)]);
  }

  ofSecret(scope: SecretScope, name: string): Buffer {
    const { user, workspace, environment } = scope;
    return Buffer.concat([this.prefixOf(scope), this.hash('secret', user, workspace, environment, name)]);
  }

  /** The range that holds the secrets of a scope, and nothing else. */
  ofScope(scope: SecretScope): { readonly gte: Buffer; readonly lte: Buffer } {
    return scopeRangeOf(this.prefixOf(scope));
  }

  private prefixOf({ user, workspace, environment }: SecretScope): Buffer {
    return Buffer.concat([SECRET, this.hash('scope', user, workspace, environment)]);
  }

  private hash(...parts: readonly string[]): Buffer {
    return createHmac('sha256', this.indexKey)
      .update(lengthPrefixed(...parts))
      .digest();
  }
}

/** Before the name. */
const LENGTH_BYTES = 4;

/** Where a record belongs. `recordKey` is the keyed hash of scope and name: it stands for the name. */
interface RecordLocation {
  readonly scope: SecretScope;
  readonly recordKey: Uint8Array;
}

/** Seals length of name (4 bytes, big endian) | name | value, so that the record is worthless in any other place. */
export function sealSecret(dataKey: KeyObject, place: RecordLocation, { name, value }: Secret): Buffer {
  const plaintext = Buffer.concat([lengthPrefixed(name), Buffer.from(value, 'utf8')]);
  try {
    return seal(dataKey, plaintext, context(place));
  } finally {
    plaintext.fill(0);
  }
}

/** What the secret of a record takes, its name and value, as far as that can be told without opening it. */
export function secretBytesOf(record: Uint8Array): number {
  return Math.max(0, record.length - SEAL_BYTES - LENGTH_BYTES);
}

/** @throws NotAuthentic when the record is damaged, of another place or of another format version */
export function unsealSecret(dataKey: KeyObject, place: RecordLocation, record: Uint8Array): Secret {
  const plaintext = unseal(dataKey, record, context(place));
  try {
    if (plaintext.length < LENGTH_BYTES) throw new NotAuthentic();
    const valueAt = LENGTH_BYTES + plaintext.readUInt32BE(0);
    return {
      name: plaintext.toString('utf8', LENGTH_BYTES, valueAt),
      value: plaintext.toString('utf8', valueAt),
    };
  } finally {
    plaintext.fill(0);
  }
}

function context({ scope, recordKey }: RecordLocation): Buffer {
  const { user, workspace, environment } = scope;
  return lengthPrefixed('secret', `v${FORMAT_VERSION}`, user, workspace, environment, recordKey);
}

/** From one key to another, as the database takes it. */
export type RecordRange = Readonly<Partial<Record<'gte' | 'lt' | 'lte', Buffer>>>;

/** In one batch; the bytes may be exceeded by those of one record. */
const BOUNDS = { records: 1_000, bytes: 256 * 1024 };
const READING = { highWaterMarkBytes: BOUNDS.bytes, fillCache: false };

/** Records by key ascending, so many at a time that their memory is bounded however many there are. */
export function recordBatches(
  database: VaultDatabase,
  range: RecordRange,
): AsyncGenerator<[Buffer, Buffer][]> {
  return batchesOf(database.iterator({ ...range, ...READING }));
}

/** Their keys alone, in the same way. */
export function keyBatches(database: VaultDatabase, range: RecordRange): AsyncGenerator<Buffer[]> {
  return batchesOf(database.keys({ ...range, ...READING }));
}

/** What the secrets of a range take, by the size of their records. */
export async function usageIn(database: VaultDatabase, range: RecordRange): Promise<Usage> {
  let [secrets, bytes] = [0, 0];
  for await (const batch of recordBatches(database, range)) {
    secrets += batch.length;
    for (const [, record] of batch) bytes += secretBytesOf(record);
  }
  return { secrets, bytes };
}

async function* batchesOf<T>(entries: {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}): AsyncGenerator<T[]> {
  try {
    for (;;) {
      const batch = await entries.nextv(BOUNDS.records);
      if (batch.length === 0) return;
      yield batch;
    }
  } finally {
    await entries.close();
  }
}
