import { createCipheriv, createDecipheriv, createHmac, type KeyObject, randomBytes } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import type { SecretScope, Secret, Usage } from '../../secrets/secret';

export type VaultDatabase = ClassicLevel<Buffer, Buffer>;

export type WorkspaceOfUser = Pick<SecretScope, 'user' | 'workspace'>;

/**
 * Bound into every sealed record, so that no record is read under the rules of another version.
 * 2: a workspace's sealed record names its user and workspace; in 1 a user's workspaces could not be found.
 */
export const FORMAT_VERSION = 2;

const WORKSPACE = Buffer.from([2]);
const SECRET = Buffer.from([3]);
const DELETION_JOB = Buffer.from([4]);
const END = Buffer.from([5]);

export const META_RECORD_KEY = Buffer.from([1]);
/** Half-open ranges of record keys. */
export const WORKSPACE_RECORDS = { gte: WORKSPACE, lt: SECRET };
export const DELETION_JOB_RECORDS = { gte: DELETION_JOB, lt: END };
export const ALL_RECORDS = { gte: META_RECORD_KEY, lt: END };
export const WRAPPED_RECORDS = { start: META_RECORD_KEY, end: SECRET };

const SCOPE_BYTES = 33;
const LAST_NAME = Buffer.alloc(32, 0xff);

/** A range of record keys, as the database takes it. */
export type RecordRange = Readonly<Partial<Record<'gte' | 'lt' | 'lte', Buffer>>>;

/**
 * Makes record keys: keyed hashes, so that no name can be read from the files or guessed without the key.
 * A workspace is 2 | HMAC(user, workspace); a secret is 3 | HMAC(scope) | HMAC(scope, name); a deletion job is 4 | HMAC(id); 32 bytes each.
 */
export class RecordKeys {
  constructor(private readonly indexKey: KeyObject) {}

  ofWorkspace({ user, workspace }: WorkspaceOfUser): Buffer {
    return Buffer.concat([WORKSPACE, this.hash('workspace', user, workspace)]);
  }

  ofSecret({ user, workspace, environment }: SecretScope, name: string): Buffer {
    const scopeHash = this.hash('scope', user, workspace, environment);
    return Buffer.concat([SECRET, scopeHash, this.hash('secret', user, workspace, environment, name)]);
  }

  ofDeletionJob(id: string): Buffer {
    return Buffer.concat([DELETION_JOB, this.hash('deletion job', id)]);
  }

  /** Returns the range that holds the secrets of a scope, and nothing else. */
  ofScope({ user, workspace, environment }: SecretScope): RecordRange {
    return scopeRangeOf(Buffer.concat([SECRET, this.hash('scope', user, workspace, environment)]));
  }

  private hash(...parts: readonly string[]): Buffer {
    return createHmac('sha256', this.indexKey)
      .update(lengthPrefixed(...parts))
      .digest();
  }
}

export function isSecretKey(recordKey: Buffer): boolean {
  return recordKey[0] === SECRET[0];
}

/** Returns the range of the scope that a secret's record key belongs to. */
export function scopeRangeOf(recordKey: Buffer): Required<Pick<RecordRange, 'gte' | 'lte'>> {
  const gte = recordKey.subarray(0, SCOPE_BYTES);
  return { gte, lte: Buffer.concat([gte, LAST_NAME]) };
}

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** How many bytes sealing adds to a plaintext. */
export const SEAL_BYTES = NONCE_BYTES + TAG_BYTES;

/** The bytes were not sealed by this key with this associated data. This error stays inside the store. */
export class NotAuthentic extends Error {}

/** Encrypts with AES-256-GCM under a fresh random nonce. Returns nonce (12 bytes) | ciphertext | tag (16 bytes). */
export function seal(key: KeyObject, plaintext: Uint8Array, associatedData: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Returns the plaintext, which the caller overwrites after use. @throws NotAuthentic */
export function unseal(key: KeyObject, sealed: Uint8Array, associatedData: Uint8Array): Buffer {
  if (sealed.length < SEAL_BYTES) throw new NotAuthentic();
  const tagAt = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.subarray(tagAt));
  // GCM is a stream cipher: update() returns all of the plaintext, final() only checks the tag.
  const plaintext = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw new NotAuthentic();
  }
  return plaintext;
}

/** Joins parts, each after its length (4 bytes, big endian), so that no two lists of parts give the same bytes. */
export function lengthPrefixed(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

export function parseLengthPrefixed(bytes: Buffer): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}

/** The length of the name, which a sealed secret begins with. */
const LENGTH_BYTES = 4;

/** What the associated data of a sealed secret begins with; where it belongs follows. */
const SECRET_CONTEXT = ['secret', `v${FORMAT_VERSION}`] as const;

/** Where a record belongs. `recordKey` is the keyed hash of scope and name, and stands for the name. */
interface RecordLocation {
  readonly scope: SecretScope;
  readonly recordKey: Uint8Array;
}

/** Seals length of name (4 bytes, big endian) | name | value, so that the record opens at its own location only. */
export function sealSecret(
  dataKey: KeyObject,
  { scope: { user, workspace, environment }, recordKey }: RecordLocation,
  { name, value }: Secret,
): Buffer {
  const plaintext = Buffer.concat([lengthPrefixed(name), Buffer.from(value, 'utf8')]);
  try {
    const context = lengthPrefixed(...SECRET_CONTEXT, user, workspace, environment, recordKey);
    return seal(dataKey, plaintext, context);
  } finally {
    plaintext.fill(0);
  }
}

/** @throws NotAuthentic when the record is damaged, of another location or of another format version */
export function unsealSecret(
  dataKey: KeyObject,
  { scope: { user, workspace, environment }, recordKey }: RecordLocation,
  record: Uint8Array,
): Secret {
  const context = lengthPrefixed(...SECRET_CONTEXT, user, workspace, environment, recordKey);
  const plaintext = unseal(dataKey, record, context);
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

/** Returns the size of a record's name and value, as the size of the record tells it without opening it. */
export function secretBytesOf(record: Uint8Array): number {
  return Math.max(0, record.length - SEAL_BYTES - LENGTH_BYTES);
}

/** Bounds of one batch; its bytes may be exceeded by those of one record. */
const MAX_BATCH_RECORDS = 1_000;
const MAX_BATCH_BYTES = 256 * 1024;
const ITERATOR_OPTIONS = { highWaterMarkBytes: MAX_BATCH_BYTES, fillCache: false };

/** Yields records by key ascending, in batches that bound the memory however many records there are. */
export function recordBatches(
  database: VaultDatabase,
  range: RecordRange,
): AsyncGenerator<[Buffer, Buffer][]> {
  return batchesOf(database.iterator({ ...range, ...ITERATOR_OPTIONS }));
}

/** Yields record keys ascending, in batches like those of recordBatches(). */
export function keyBatches(database: VaultDatabase, range: RecordRange): AsyncGenerator<Buffer[]> {
  return batchesOf(database.keys({ ...range, ...ITERATOR_OPTIONS }));
}

/** Returns the number of secrets in a range, and their size as their records tell it. */
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
      const batch = await entries.nextv(MAX_BATCH_RECORDS);
      if (batch.length === 0) return;
      yield batch;
    }
  } finally {
    await entries.close();
  }
}
