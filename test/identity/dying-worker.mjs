import { parentPort } from 'node:worker_threads';

// A stand-in for bcrypt-worker.mjs that dies as it is told.
parentPort?.on('message', ({ text }) => {
  if (text === 'dies always') throw new Error('canary of a thread');
  parentPort?.postMessage(true);
  if (text === 'dies soon') process.exit(1);
});
