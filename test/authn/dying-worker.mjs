import { setTimeout } from 'node:timers';
import { parentPort } from 'node:worker_threads';

// A stand-in for bcrypt-worker.mjs that dies as it is told.
parentPort?.on('message', ({ text }) => {
  if (text === 'dies always') throw new Error('canary of a thread');
  parentPort?.postMessage(true);
  // With its answer, or a moment later.
  if (text === 'dies at once') process.exit(1);
  if (text === 'dies soon') setTimeout(() => process.exit(1), 10);
});
