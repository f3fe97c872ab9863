// Loaded before the service by --import: two signals each end it by an error, as a library may throw one, that holds the secret of CRASH_SECRET.
import process from 'node:process';
import { setImmediate } from 'node:timers';

function foreignError() {
  const secret = process.env.CRASH_SECRET;
  const message = `request failed\n${secret}\n    at ${secret} (/${secret}.js:1:1)`;
  const error = new TypeError(message, { cause: new Error(secret) });
  const config = { headers: { authorization: `Bearer ${secret}` }, data: secret };
  return Object.assign(error, { config, code: secret });
}

process.on('SIGUSR2', () => {
  setImmediate(() => {
    throw foreignError();
  });
});
process.on('SIGWINCH', () => void Promise.reject(foreignError()));
