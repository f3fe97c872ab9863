import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { seal, SEAL_BYTES, unseal } from './seal';

const KEY_BYTES = 32;
export const WRAPPED_KEY_BYTES = KEY_BYTES + SEAL_BYTES;

/** A key in the only two forms it leaves a function in: opaque, and wrapped. */
export interface WrappedKey {
  readonly key: KeyObject;
  readonly wrapped: Buffer;
}

/** Makes a random 256-bit key and wraps it. */
export function makeWrappedKey(wrappingKey: KeyObject, associatedData: Uint8Array): WrappedKey {
  const bytes = randomBytes(KEY_BYTES);
  const wrapped = seal(wrappingKey, bytes, associatedData);
  return { key: intoKey(bytes), wrapped };
}

/** @throws NotAuthentic */
export function unwrapKey(
  wrappingKey: KeyObject,
  wrapped: Uint8Array,
  associatedData: Uint8Array,
): KeyObject {
  return intoKey(unseal(wrappingKey, wrapped, associatedData));
}

/** Wraps the same key under another wrapping key and other associated data. @throws NotAuthentic */
export function rewrapKey(
  wrapped: Uint8Array,
  from: { readonly wrappingKey: KeyObject; readonly associatedData: Uint8Array },
  to: { readonly wrappingKey: KeyObject; readonly associatedData: Uint8Array },
): Buffer {
  const bytes = unseal(from.wrappingKey, wrapped, from.associatedData);
  try {
    return seal(to.wrappingKey, bytes, to.associatedData);
  } finally {
    bytes.fill(0);
  }
}

/** Takes the bytes over and overwrites them: a KeyObject's own copy is cleared by OpenSSL when it is let go. */
export function intoKey(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}
