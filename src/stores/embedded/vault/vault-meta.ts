import { createHash, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { EmbeddedStoreUnusable } from '../../../errors/operator-errors';
import { FORMAT_VERSION, lengthPrefixed, seal, SEAL_BYTES, unseal } from '../records';

const MIN_MASTER_KEY_BYTES = 32;

const KEY_BYTES = 32;
const WRAPPED_KEY_BYTES = KEY_BYTES + SEAL_BYTES;

const MAGIC = Buffer.from('OSPVAULT', 'latin1');
const SALT_BYTES = 32;
const CHECKSUM_BYTES = 32;
const VERSION_AT = MAGIC.length;
const SALT_AT = VERSION_AT + 2;
const INDEX_KEY_AT = SALT_AT + SALT_BYTES;
const CHECKSUM_AT = INDEX_KEY_AT + WRAPPED_KEY_BYTES;

/**
 * The record that describes the database:
 * magic | version (2 bytes, big endian) | salt | wrapped index key | SHA-256 of all before.
 * The checksum holds no secret; it tells a damaged record from a wrong master key.
 */
export interface VaultMeta {
  readonly salt: Buffer;
  readonly wrappedIndexKey: Buffer;
}

/** The keys that the master key opens. `wrappingKey` wraps the data keys, `indexKey` makes the record keys. */
export interface VaultKeys {
  readonly wrappingKey: KeyObject;
  readonly indexKey: KeyObject;
}

/** Wraps an index key, a random one where none is given, under the master key and a new salt, and overwrites its bytes. */
export function makeMeta(masterKey: Uint8Array, indexKey: Uint8Array = randomBytes(KEY_BYTES)): VaultMeta {
  const salt = randomBytes(SALT_BYTES);
  try {
    return { salt, wrappedIndexKey: seal(wrappingKeyOf(masterKey, salt), indexKey, indexKeyContext(salt)) };
  } finally {
    indexKey.fill(0);
  }
}

export function encodeMeta({ salt, wrappedIndexKey }: VaultMeta): Buffer {
  const version = Buffer.alloc(2);
  version.writeUInt16BE(FORMAT_VERSION);
  const body = Buffer.concat([MAGIC, version, salt, wrappedIndexKey]);
  return Buffer.concat([body, sha256(body)]);
}

/** @throws EmbeddedStoreUnusable DAMAGED, FOREIGN or UNSUPPORTED_VERSION */
export function parseMeta(record: Buffer, dataDir: string): VaultMeta {
  // Every version begins with magic and version and ends with the checksum.
  const checksumAt = record.length - CHECKSUM_BYTES;
  if (checksumAt < SALT_AT || !sha256(record.subarray(0, checksumAt)).equals(record.subarray(checksumAt))) {
    throw new EmbeddedStoreUnusable('DAMAGED', `${dataDir}: its meta record does not match its checksum`);
  }
  if (!record.subarray(0, VERSION_AT).equals(MAGIC)) {
    throw new EmbeddedStoreUnusable('FOREIGN', `${dataDir}: its meta record is not of this service`);
  }
  const version = record.readUInt16BE(VERSION_AT);
  if (version !== FORMAT_VERSION) {
    throw new EmbeddedStoreUnusable(
      'UNSUPPORTED_VERSION',
      `${dataDir}: found version ${version}, this release reads version ${FORMAT_VERSION}`,
    );
  }
  if (checksumAt !== CHECKSUM_AT) {
    throw new EmbeddedStoreUnusable('DAMAGED', `${dataDir}: its meta record has a wrong length`);
  }
  return {
    salt: record.subarray(SALT_AT, INDEX_KEY_AT),
    wrappedIndexKey: record.subarray(INDEX_KEY_AT, CHECKSUM_AT),
  };
}

/** Checks the master key by unwrapping the index key. @throws NotAuthentic when it is another master key */
export function openMeta({ salt, wrappedIndexKey }: VaultMeta, masterKey: Uint8Array): VaultKeys {
  const wrappingKey = wrappingKeyOf(masterKey, salt);
  return { wrappingKey, indexKey: intoKey(unseal(wrappingKey, wrappedIndexKey, indexKeyContext(salt))) };
}

/** Wraps the same index key under a new master key and a new salt. @throws NotAuthentic when `wrappingKey` is another one */
export function rewrapMeta(
  { salt, wrappedIndexKey }: VaultMeta,
  wrappingKey: KeyObject,
  newMasterKey: Uint8Array,
): VaultMeta {
  return makeMeta(newMasterKey, unseal(wrappingKey, wrappedIndexKey, indexKeyContext(salt)));
}

/** @throws EmbeddedStoreUnusable WEAK_MASTER_KEY */
export function requireStrong(masterKey: Uint8Array): void {
  if (masterKey.length < MIN_MASTER_KEY_BYTES) {
    throw new EmbeddedStoreUnusable('WEAK_MASTER_KEY', `it has ${masterKey.length} bytes`);
  }
}

/** Wraps the same key under another wrapping key. @throws NotAuthentic */
export function rewrapKey(wrapped: Uint8Array, from: KeyObject, to: KeyObject, context: Uint8Array): Buffer {
  const bytes = unseal(from, wrapped, context);
  try {
    return seal(to, bytes, context);
  } finally {
    bytes.fill(0);
  }
}

/** Makes a key and overwrites the bytes: the KeyObject has its own copy, which OpenSSL clears when it frees it. */
export function intoKey(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

function wrappingKeyOf(masterKey: Uint8Array, salt: Uint8Array): KeyObject {
  const info = `olares-secret-provider embedded store v${FORMAT_VERSION} key-encryption key`;
  return intoKey(new Uint8Array(hkdfSync('sha256', masterKey, salt, info, 32)));
}

function indexKeyContext(salt: Uint8Array): Buffer {
  return lengthPrefixed('index key', `v${FORMAT_VERSION}`, salt);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
