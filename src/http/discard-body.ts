import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { SystemMonotonicTime } from '../clock/system-monotonic-time';
import { FairTurns } from '../concurrency/fair-turns';
import { Overloaded } from '../errors/request-errors';

/** Some 20 MB a second of all addresses together: beyond that the garbage collector holds everybody up. */
const CHUNK_EVERY_MS = 3;

/** What is smaller is not waited for: it costs what its sender does to send it. */
const LARGE_CHUNK_BYTES = 16 * 1024;

/** One for the process, as its garbage collector is. What waits has some hundred KiB in the buffers of the operating system. */
const turns = new FairTurns(
  { maxUnderWay: 1, maxUnderWayOfOne: 1, maxWaiting: 64, maxWaitingOfOne: 16, maxWaitMs: 30_000 },
  new SystemMonotonicTime(),
  () => new Overloaded(),
);

/**
 * Reads what is still to come of a body that nobody wants, a chunk of 64 KiB at a time, the addresses by turns. Not read at
 * all, it would end the connection with a reset before the client has seen its refusal; which is what happens where too
 * many wait. Resolves at its end.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  const { remoteAddress = '' } = request.socket;
  return new Promise((resolve) => {
    finished(request, () => resolve());
    request.on('data', ({ length }: Buffer) => {
      if (length < LARGE_CHUNK_BYTES) return;
      request.pause();
      turns
        .run(remoteAddress, () => pause(CHUNK_EVERY_MS))
        .then(() => request.resume(), () => request.socket.destroy()); // prettier-ignore
    });
    // node:http discards at full speed what nobody has begun to read when the answer has ended.
    request.read(0);
    // Whoever gave up reading it has paused it.
    request.resume();
  });
}
