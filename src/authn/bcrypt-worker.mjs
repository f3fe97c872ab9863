// @ts-check
// Compares one proof after the other on a worker thread. It is JavaScript because Node itself loads it, for the tests from
// here and otherwise from dist/.
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import bcrypt from 'bcrypt';

const NICENESS = 10;

/** Lets requests for secrets go before requests for tokens. Only Linux has priorities of single threads. */
function lowerPriority() {
  try {
    const [, thread] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? [];
    if (thread !== undefined) setPriority(Number(thread), NICENESS);
  } catch {
    // Not Linux, or not allowed.
  }
}

lowerPriority();
parentPort?.on('message', (/** @type {{ text: string, hash: string }} */ { text, hash }) => {
  parentPort?.postMessage(bcrypt.compareSync(text, hash));
});
