// @ts-check
// Compares one proof after the other on a thread of its own. JavaScript, since Node itself loads it: from here for the
// tests, and from the built tree.
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import bcrypt from 'bcrypt';

/** As nice has it. */
const NICENESS = 10;

/** Whoever asks for a secret goes before whoever asks for a token. Linux knows a priority of a thread; others keep theirs. */
function giveWay() {
  try {
    const [, thread] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? [];
    if (thread !== undefined) setPriority(Number(thread), NICENESS);
  } catch {
    // Not Linux, or not allowed.
  }
}

giveWay();
parentPort?.on('message', (/** @type {{ text: string, hash: string }} */ { text, hash }) => {
  parentPort?.postMessage(bcrypt.compareSync(text, hash));
});
