import { readFileSync } from 'node:fs';

/** Shorter keys are refused: the algorithms that use them have a strength of 256 bits. */
export const MIN_KEY_BYTES = 32;

/**
 * Reads key material from a file: raw bytes, or text such as hex or base64, whose bytes are the key as they stand.
 * An editor's last newline is not part of the key, unless the file is exactly 32 (raw) bytes.
 * @throws Error with a sentence that names the path and is safe to print
 */
export function readKeyFile(path: string): Uint8Array {
  return keyFrom(path, readFile(path));
}

/** Returns the key in a file that was read already. @param path for the error message. @throws as readKeyFile */
export function keyFrom(path: string, bytes: Uint8Array): Uint8Array {
  const key = bytes.length === MIN_KEY_BYTES ? bytes : withoutLastNewline(bytes);
  if (key.length < MIN_KEY_BYTES) throw new Error(`${path} holds fewer than ${MIN_KEY_BYTES} bytes`);
  return key;
}

/** Reads a credential that is text, e.g. a client secret, without one last newline. @throws as readKeyFile */
export function readTextFile(path: string): string {
  return textFrom(readFile(path));
}

/** Returns the text of a file that was read already, without one last newline. */
export function textFrom(bytes: Uint8Array): string {
  return Buffer.from(withoutLastNewline(bytes)).toString('utf8');
}

/** @throws Error as readKeyFile */
export function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error: unknown) {
    throw new Error(`${path} cannot be read (${fileErrorCode(error)})`);
  }
}

function withoutLastNewline(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

/** Returns the code of an error of the file system, e.g. ENOTDIR, which is all that may be printed of it. */
export function fileErrorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : 'unknown error';
}
