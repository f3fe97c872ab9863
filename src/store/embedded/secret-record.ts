import type { KeyObject } from 'node:crypto';
import type { Secret, SecretScope } from '../../secrets/secret';
import { lengthPrefixed } from './length-prefixed';
import { NotAuthentic, seal, SEAL_BYTES, unseal } from './seal';
import { FORMAT_VERSION } from './vault-meta';

/** Before the name. */
const LENGTH_BYTES = 4;

/** Where a record belongs. `recordKey` is the keyed hash of scope and name: it stands for the name. */
export interface RecordPlace {
  readonly scope: SecretScope;
  readonly recordKey: Uint8Array;
}

/** Seals length of name (4 bytes, big endian) | name | value, so that the record is worthless in any other place. */
export function sealSecret(dataKey: KeyObject, place: RecordPlace, { name, value }: Secret): Buffer {
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
export function unsealSecret(dataKey: KeyObject, place: RecordPlace, record: Uint8Array): Secret {
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

function context({ scope, recordKey }: RecordPlace): Buffer {
  const { user, workspace, environment } = scope;
  return lengthPrefixed('secret', `v${FORMAT_VERSION}`, user, workspace, environment, recordKey);
}
