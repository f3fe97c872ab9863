import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto';

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

/** Returns the texts that lengthPrefixed() joined. */
export function parseLengthPrefixed(bytes: Buffer): readonly string[] {
  const texts: string[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}
