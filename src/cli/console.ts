import { type Reason, SecretVaultError } from '../client/errors.js';
import { UsageError } from '../errors/operator-errors';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * How a command ends: 0 done; 1 the answer is no (a difference, a finding, a secret that is not there, a refusal);
 * 2 wrong use; 3 the service or a file could not be used.
 */
export type FailureCode = 1 | 2 | 3;

/** Ends a command with a sentence for standard error, which has no value, token or key in it. */
export class CommandFailure extends Error {
  constructor(
    readonly exitCode: FailureCode,
    message: string,
  ) {
    super(message);
  }
}

/** Ends the command where standard output takes no more: without a word where its reader has heard enough, else as a file that cannot be used. */
export function endWithReader({ code = 'no reason is known' }: NodeJS.ErrnoException): void {
  if (code === 'EPIPE') process.exit();
  process.stderr.write(`olares-secrets: Standard output cannot be written: ${code}.\n`);
  process.exit(3 satisfies FailureCode);
}

/** Returns what to print of an error, and the exit code. The message of a foreign error may have anything in it, and is not printed. */
export function failureOf(error: unknown): { readonly exitCode: FailureCode; readonly message: string } {
  if (error instanceof CommandFailure) return { exitCode: error.exitCode, message: printable(error.message) };
  if (error instanceof UsageError) return { exitCode: 2, message: printable(error.message) };
  if (error instanceof SecretVaultError) return vaultFailureOf(error);
  if (isSystemError(error)) {
    const { path, syscall, code } = error;
    const message = path === undefined ? `The system call ${syscall} failed` : `${path} cannot be used`;
    return { exitCode: 3, message: printable(`${message}: ${code}.`) };
  }
  const name = error instanceof Error ? error.constructor.name : typeof error;
  return { exitCode: 3, message: `This is a fault of the command itself (${name}); please report it.` };
}

/** The reasons with which the service was asked and said no. With all others it could not do what it was asked. */
const REFUSALS: ReadonlySet<Reason> = new Set([
  'UNAUTHENTICATED',
  'NOT_GRANTED',
  'USER_MISMATCH',
  'SECRET_NOT_FOUND',
  'SECRET_ALREADY_EXISTS',
  'APPROVAL_REQUIRED',
  'PRECONDITION_FAILED',
  'REQUEST_TOO_LARGE',
  'STORE_REFUSED',
  'QUOTA_EXCEEDED',
]);

function vaultFailureOf({ reason, message, details: { requestId } }: SecretVaultError) {
  const exitCode: FailureCode = reason === 'INVALID_REQUEST' ? 2 : REFUSALS.has(reason) ? 1 : 3;
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  const id = requestId === undefined ? '' : ` (request ${requestId})`;
  return { exitCode, message: printable(`${reason}: ${sentence}${id}`) };
}

type SystemError = Error & { readonly code: string; readonly syscall: string; readonly path?: string };

/** An error that came by a file's descriptor, as of a full disk, has no path. */
function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && typeof syscall === 'string';
}

/** Returns an error of the file system as one that names the file by the path that was given; any other as it is. */
export function ofFile(path: string, error: unknown): unknown {
  return isSystemError(error) ? new CommandFailure(3, `${path} cannot be used: ${error.code}.`) : error;
}

/** What a terminal obeys: control characters, and those that show text in another order than it has. A newline and a tab are none. */
const OBEYED = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** Returns the text without what a terminal would obey. */
export function printable(text: string): string {
  return text.replace(OBEYED, '\ufffd').trimEnd();
}

/** The same for what is one line, or a part of one: a text of somebody else's must not look like lines of ours. */
export function printableLine(text: string): string {
  return printable(text.replace(/[\t\n\u2028\u2029]/g, '\ufffd'));
}

/** A terminal obeys control characters: they are replaced, and said to be. */
export function shown(value: string): string {
  const visible = printable(value);
  if (visible !== value.trimEnd())
    process.stderr.write(
      'Characters that a terminal would obey are replaced; pipe the output to have them.\n',
    );
  return `${visible}\n`;
}

/** Returns JSON, which by itself escapes less than a terminal obeys. */
export function printableJson(value: unknown, space?: number): string {
  return JSON.stringify(value, undefined, space).replace(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Reads a file whole, or standard input where the path is `-`.
 * @throws CommandFailure where it is larger or cannot be read
 */
export async function readInput(path: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of path === '-' ? process.stdin : createReadStream(path)) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > maxBytes)
        throw new CommandFailure(3, `${inputName(path)} is larger than ${maxBytes} bytes.`);
    }
  } catch (error: unknown) {
    throw ofFile(inputName(path), error);
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

/** What was pasted has arrived where nothing has come for this long. */
const PASTED_MS = 200;

/** Asks on the terminal, which shows nothing of what is typed. @throws UsageError for several lines, as they are pasted: one would be stored */
export async function askHidden(prompt: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 });
  let more = 0;
  lines.on('line', () => (more += 1));
  process.stderr.write(prompt);
  try {
    const answer = await untilEnded(lines.question(''), lines);
    // What is not read here the shell would take for commands.
    for (let read = -1; read !== process.stdin.bytesRead; await pause(PASTED_MS))
      read = process.stdin.bytesRead;
    if (more === 0 && lines.line === '') return answer;
    throw new UsageError('These are several lines, of which nothing was taken: pipe them, or name a file.');
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
