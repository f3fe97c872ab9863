import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CommandFailure } from './command-errors';

/**
 * Reads a file whole, or standard input where the path is `-`.
 * @throws CommandFailure where it is larger, and the file system's error
 */
export async function readInput(path: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of path === '-' ? process.stdin : createReadStream(path)) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > maxBytes)
      throw new CommandFailure(3, `${inputName(path)} is larger than ${maxBytes} bytes.`);
  }
  return Buffer.concat(chunks);
}

/**
 * Reads UTF-8 text.
 * @param hint ends the sentence where it is none
 * @throws CommandFailure where it is none, and as readInput()
 */
export async function readText(path: string, maxBytes: number, hint = ''): Promise<string> {
  const text = utf8Text(await readInput(path, maxBytes));
  if (text === undefined) throw new CommandFailure(3, `${inputName(path)} is not UTF-8 text${hint}.`);
  return text;
}

/** Returns how a sentence names an input. */
export function inputName(path: string): string {
  return path === '-' ? 'standard input' : path;
}

/** Returns UTF-8 text; undefined where it is none. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Asks on the terminal, which shows nothing of what is typed. */
export async function askHidden(prompt: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 });
  process.stderr.write(prompt);
  try {
    return await untilEnded(lines.question(''), lines);
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

/** Ctrl-C and Ctrl-D end the question without an answer. */
export async function untilEnded(answer: Promise<string>, lines: NodeJS.EventEmitter): Promise<string> {
  return Promise.race([
    answer,
    new Promise<never>((_resolve, reject) => {
      const given = (): void => reject(new CommandFailure(1, 'Nothing was entered; nothing was changed.'));
      lines.once('SIGINT', given);
      lines.once('close', given);
    }),
  ]);
}
