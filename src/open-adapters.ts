import type { Adapters } from './adapters';
import { SystemClock } from './clock/system-clock';
import type { Settings } from './config/settings';
import type { Clock } from './clock/clock';
import { DirectoryGrantSource } from './grants/directory.grant-source';
import { LldapUserDirectory } from './identity/lldap.user-directory';
import type { LogEvent } from './logging/log';
import type { SecretStore } from './secrets/secret-store';

/** What the Infisical store tells of its ordinary work; all else wants an operator's eye. */
const EXPECTED = /\.(succeeded|created|healed|met)$/;

const LLDAP_TIMEOUT_MS = 3_000;

/** Chooses the adapters that the settings name and opens them. */
export async function openAdapters(settings: Settings, log: LogEvent): Promise<Adapters> {
  const clock = new SystemClock();
  const { lldapUrl } = settings.userToken;
  const [store, grantSource] = await Promise.all([
    openStore(settings.store, clock, log),
    DirectoryGrantSource.open({ dir: settings.grantsDir, log }),
  ]);
  return {
    clock,
    store,
    grantSource,
    ...(lldapUrl === undefined
      ? {}
      : { userDirectory: new LldapUserDirectory({ url: lldapUrl, timeoutMs: LLDAP_TIMEOUT_MS }, clock) }),
  };
}

/** Only the chosen store is loaded: the other one would cost start time and memory for nothing. */
async function openStore(settings: Settings['store'], clock: Clock, log: LogEvent): Promise<SecretStore> {
  if (settings.kind === 'embedded') {
    const { EmbeddedSecretStore } = await import('./store/embedded/embedded.secret-store.js');
    return EmbeddedSecretStore.open(settings);
  }
  const { createInfisicalSecretStore } = await import('./store/infisical/infisical.secret-store.js');
  const options = { ...settings, operationTimeoutMs: settings.timeoutMs };
  return createInfisicalSecretStore(options, clock, (event, fields) =>
    log(EXPECTED.test(event) ? 'info' : 'warn', event, fields),
  );
}
