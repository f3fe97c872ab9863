// Adds COUNT marks to the list in the secret `shared`, each by an update that depends on the current value.
import { setTimeout as pause } from 'node:timers/promises';
import { SecretVault, SecretVaultError } from '../../client/dist/esm/index.js';

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
      if (!(error instanceof SecretVaultError)) throw error;
      if (
        !['UNREACHABLE', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE', 'UNAUTHENTICATED'].includes(error.reason)
      )
        throw error;
      await pause(200);
    }
  }
}
