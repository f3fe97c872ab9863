// Adds COUNT marks to the list in the secret `shared`, each by an update that depends on the current value.
import { setTimeout as pause } from 'node:timers/promises';
import {
  OutcomeUnknownError,
  RateLimitedError,
  SecretVault,
  UnauthenticatedError,
  UnavailableError,
} from '../../client/dist/esm/index.js';

/**
 * What ends when the service is back; a token is refused once where the key changed between two attempts. A write whose outcome is unknown
 * may be repeated: its mark is recognised.
 */
const PASSING = [UnavailableError, RateLimitedError, UnauthenticatedError, OutcomeUnknownError];

const {
  URL: url,
  APP_KEY: appKey,
  APP_SECRET: appSecret,
  USER_TOKEN: userToken,
  COUNT,
  WORKER,
} = process.env;
const vault = new SecretVault({ url, workspace: 'otmoic', appKey, appSecret, userToken });

for (let i = 0; i < Number(COUNT); i++) {
  const mark = `${WORKER}-${i}`;
  const add = (current) => {
    const marks = JSON.parse(current);
    return marks.includes(mark) ? undefined : JSON.stringify([...marks, mark]);
  };
  for (;;) {
    try {
      await vault.update('shared', add);
      break;
    } catch (error) {
      if (!PASSING.some((passing) => error instanceof passing)) throw error;
      await pause(200);
    }
  }
}
