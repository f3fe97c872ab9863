import { readFileSync } from 'node:fs';

/** Keys of fewer bytes are refused: 256 bits is what the algorithms behind them are worth. */
export const MIN_KEY_BYTES = 32;

/**
 * Reads key material from a file: raw bytes, or text such as hex or base64, whose bytes are the key as they stand.
 * An editor's last newline is not part of the key, unless the file is exactly 32 (raw) bytes.
 * @throws Error with a sentence that names the path and is safe to print
 */
export function readKeyFile(path: string): Uint8Array {
  return keyFrom(path, readFile(path));
}

/** The same of a file that was read already; the path is only for the sentence. */
export function keyFrom(path: string, bytes: Uint8Array): Uint8Array {
  const key = bytes.length === MIN_KEY_BYTES ? bytes : withoutLastNewline(bytes);
  if (key.length < MIN_KEY_BYTES) throw new Error(`${path} holds fewer than ${MIN_KEY_BYTES} bytes`);
  return key;
}

/** Text of a credential that is not a key, e.g. a client secret; one last newline is dropped. */
export function readTextFile(path: string): string {
  return textFrom(readFile(path));
}

/** The same of a file that was read already. */
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

/** All that is kept of an error of the file system, e.g. ENOTDIR. */
export function fileErrorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : 'unknown error';
}
