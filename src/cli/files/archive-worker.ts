import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { CommandFailure, type FailureCode, failureOf } from '../command-errors';
import { type ArchiveKeys, type ArchiveReaders, decryptArchive, encryptArchive } from './age-archive';

/** What is asked of the thread: an archive of a text, or the text of an archive. */
type ArchiveWork =
  | { readonly text: string; readonly readers: ArchiveReaders; readonly isArmored: boolean }
  | { readonly archive: Uint8Array; readonly keys: ArchiveKeys };

type ArchiveAnswer =
  { readonly done: string | Uint8Array } | { readonly exitCode: FailureCode; readonly message: string };

/**
 * Makes or opens an archive in a thread of its own. JavaScript's objects are closed in the main thread (guarded-intrinsics), which makes
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
