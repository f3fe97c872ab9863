import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export type SmallFile =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Reads a file that somebody else put there: whatever it is, this neither blocks, nor fails, nor takes more than asked. */
export async function readSmallFile(path: string, maxBytes: number): Promise<SmallFile> {
  try {
    // O_NONBLOCK, or opening a FIFO would wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) return unreadable('not a regular file');
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      for (let bytesRead = -1; bytesRead !== 0 && length <= maxBytes; length += bytesRead) {
        ({ bytesRead } = await file.read(buffer, length, buffer.length - length));
      }
      if (length > maxBytes) return unreadable(`larger than ${maxBytes} bytes`);
      return {
        kind: 'text',
        text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)),
      };
    } finally {
      await file.close();
    }
  } catch (error: unknown) {
    const code = codeOf(error);
    // Also of a link whose target is gone: a Kubernetes mount that drops a file shows as one for a moment.
    if (code === 'ENOENT') return { kind: 'missing' };
    return unreadable(
      code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not UTF-8 text' : `cannot be read (${code})`,
    );
  }
}

/** A file system error's code: its message would repeat whole paths. */
export function codeOf(error: unknown): string {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'unknown';
}

function unreadable(reason: string): SmallFile {
  return { kind: 'unreadable', reason };
}
