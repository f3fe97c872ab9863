import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { UsageError } from '../../errors/operator-errors';
import { CommandFailure, type FailureCode, failureOf, askHidden, readInput, utf8Text } from '../console';

/** For whom an archive is encrypted: whoever knows the passphrase, or the holders of the identities of these recipients. */
export type ArchiveReaders = { readonly passphrase: string } | { readonly recipients: readonly string[] };

/** What decrypts an archive. An identity is a secret key, `AGE-SECRET-KEY-…`. */
export type ArchiveKeys = { readonly passphrase: string } | { readonly identities: readonly string[] };

/** Returns a file in the format of age (age-encryption.org/v1). @throws UsageError for a recipient that is none */
export async function encryptArchive(
  text: string,
  readers: ArchiveReaders,
  isArmored: boolean,
): Promise<Buffer> {
  const { armor, Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  if ('passphrase' in readers) encrypter.setPassphrase(readers.passphrase);
  else
    for (const recipient of readers.recipients) {
      try {
        encrypter.addRecipient(recipient);
      } catch {
        // It may be an identity by mistake, which is a secret.
        throw new UsageError('A recipient must be one of age, which begins with age1.');
      }
    }
  const archive = await encrypter.encrypt(text);
  return Buffer.from(isArmored ? armor.encode(archive) : archive);
}

const ARMOR_BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----';
const PASSPHRASE_STANZA = '\n-> scrypt ';

/** Returns the archive without its armor. @throws CommandFailure (3) for a file that is no archive */
export async function readArchive(
  bytes: Buffer,
): Promise<{ readonly archive: Uint8Array; readonly needsPassphrase: boolean }> {
  const { armor } = await import('age-encryption');
  try {
    const isArmored = bytes.subarray(0, 1024).toString('latin1').trimStart().startsWith(ARMOR_BEGIN);
    const archive = isArmored ? armor.decode(bytes.toString('latin1')) : bytes;
    const begin = Buffer.from(archive.subarray(0, 1024)).toString('latin1');
    if (begin.startsWith('age-encryption.org/v1\n'))
      return { archive, needsPassphrase: begin.includes(PASSPHRASE_STANZA) };
  } catch {
    // The sentence below says it too.
  }
  throw new CommandFailure(3, 'The file is no archive of age.');
}

/** @throws CommandFailure: 1 for a key that does not open it, 3 for an archive that is damaged */
export async function decryptArchive(archive: Uint8Array, keys: ArchiveKeys): Promise<string> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  if ('passphrase' in keys) decrypter.addPassphrase(keys.passphrase);
  else
    for (const identity of keys.identities) {
      try {
        decrypter.addIdentity(identity);
      } catch {
        throw new UsageError(
          'An identity must be a line that begins with AGE-SECRET-KEY-; plugins are not supported.',
        );
      }
    }
  const text = utf8Text(await decrypter.decrypt(archive).catch(refuse));
  if (text === undefined) throw new CommandFailure(3, 'What the archive holds is not UTF-8 text.');
  return text;
}

function refuse(error: unknown): never {
  const message = error instanceof Error ? error.message : '';
  if (message.startsWith('no identity matched'))
    throw new CommandFailure(1, 'The archive is for others, or the passphrase is wrong.');
  throw new CommandFailure(3, 'The archive is damaged, or asks for too much of the passphrase.');
}

export interface ArchiveOptions {
  readonly passphraseFile?: string;
  readonly recipient: readonly string[];
  readonly recipientsFile?: string;
  readonly identity: readonly string[];
  readonly armor?: boolean;
}

const MAX_KEY_FILE_BYTES = 64 * 1024;

/** Returns whom the options of `export` name. @throws UsageError for none, or for both kinds */
export async function readersIn({
  recipient,
  recipientsFile,
  passphraseFile,
}: ArchiveOptions): Promise<ArchiveReaders> {
  const inFile = recipientsFile === undefined ? [] : await linesIn(recipientsFile);
  const recipients = [...recipient, ...inFile];
  if (recipients.length > 0 && passphraseFile !== undefined)
    throw new UsageError('An archive is for recipients or for a passphrase, not for both.');
  if (recipients.length > 0) return { recipients };
  return { passphrase: await passphraseFrom(passphraseFile, true) };
}

/** Returns the keys that the options of `import` name. @throws UsageError where they are of the other kind than the archive's */
export async function keysIn(
  { identity, passphraseFile }: ArchiveOptions,
  needsPassphrase: boolean,
): Promise<ArchiveKeys> {
  if (needsPassphrase) {
    if (identity.length > 0)
      throw new UsageError('The archive is for a passphrase, so that no --identity opens it.');
    return { passphrase: await passphraseFrom(passphraseFile, false) };
  }
  const identities = (await Promise.all(identity.map(linesIn))).flat();
  if (identities.length === 0)
    throw new UsageError('The archive is for recipients: --identity FILE must name the file of one.');
  return { identities };
}

/** Returns what stands in a file of keys, as age reads it: lines, without blank ones and comments. */
async function linesIn(path: string): Promise<readonly string[]> {
  const lines = (await readInput(path, MAX_KEY_FILE_BYTES)).toString('utf8').split(/\r?\n/);
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

async function passphraseFrom(path: string | undefined, isNew: boolean): Promise<string> {
  if (path === undefined) {
    if (!process.stdin.isTTY)
      throw new UsageError('Without a terminal the archive needs --passphrase-file FILE.');
    const passphrase = await askHidden('Passphrase (not shown): ');
    if (isNew && (await askHidden('The same again: ')) !== passphrase)
      throw new UsageError('The two passphrases differ.');
    return nonEmpty(passphrase);
  }
  const text = utf8Text(await readInput(path, MAX_KEY_FILE_BYTES));
  if (text === undefined) throw new CommandFailure(3, `${path} is not UTF-8 text.`);
  return nonEmpty(text.replace(/\r?\n$/, ''));
}

function nonEmpty(passphrase: string): string {
  if (passphrase === '') throw new UsageError('The passphrase is empty.');
  return passphrase;
}

/** What is asked of the thread: an archive of a text, or the text of an archive. */
type ArchiveWork =
  | { readonly text: string; readonly readers: ArchiveReaders; readonly isArmored: boolean }
  | { readonly archive: Uint8Array; readonly keys: ArchiveKeys };

type ArchiveAnswer =
  { readonly done: string | Uint8Array } | { readonly exitCode: FailureCode; readonly message: string };

/**
 * Makes or opens an archive in a thread of its own. JavaScript's objects are closed in the main thread (hardened-process), which makes
 * the arithmetic of a passphrase ten times as slow there.
 * @throws what encryptArchive() and decryptArchive() throw
 */
export async function archiveInWorker(work: ArchiveWork): Promise<string | Uint8Array> {
  const worker = new Worker(__filename, { workerData: work });
  const [answer] = (await once(worker, 'message')) as [ArchiveAnswer];
  if ('message' in answer) throw new CommandFailure(answer.exitCode, answer.message);
  return answer.done;
}

async function answerTo(work: ArchiveWork): Promise<ArchiveAnswer> {
  try {
    if ('keys' in work) return { done: await decryptArchive(work.archive, work.keys) };
    return { done: await encryptArchive(work.text, work.readers, work.isArmored) };
  } catch (error: unknown) {
    return failureOf(error);
  }
}

if (!isMainThread) void answerTo(workerData as ArchiveWork).then((answer) => parentPort?.postMessage(answer));
