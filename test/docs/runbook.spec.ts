import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService } from '../support/service';
import { accessToken, userToken } from '../support/tokens';
import { clusterLog } from './cluster-log';

const page = readFileSync(join(__dirname, '../../docs/runbook.md'), 'utf8');
const LOGS = 'kubectl logs deploy/<release> --since=1h';
const commands = page.split('\n').filter((line) => line.startsWith(`${LOGS} |`));

/** What a service of the sidecar's style logs of a denial, a refused proof and a store that is away. */
async function exampleLog(): Promise<string> {
  const [clock, store] = [new FixedClock(), new MemorySecretStore()];
  const settings = { responseStyle: 'sidecar' } as const;
  const service = await startService({ clock, store, grantSource: exampleApps() }, settings);
  const headers = {
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  };
  await httpCall(`${service.url}/ListSecret?workspace=foreign`, { headers, body: {} });
  const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: OTMOICLP.ops };
  const body = { app_key: OTMOICLP.appKey, timestamp: 1, token: `$2b$10$${'a'.repeat(53)}`, perm };
  await httpCall(`${service.url}/permission/v1alpha1/access`, { body });
  store.failure = new StoreUnavailable();
  await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
  await service.close();
  return service.log();
}

describe('docs/runbook.md', () => {
  let log: string;
  beforeAll(async () => (log = (await exampleLog()) + (await clusterLog())));

  const found = (command: string): string =>
    execFileSync('sh', ['-c', command.replace(LOGS, 'cat')], { input: log, encoding: 'utf8' });

  it('has a command for each of its questions to the log', () => {
    expect(commands).toHaveLength(6);
  });

  it.each(commands)('has a command that finds what it looks for: %s', (command) => {
    expect(found(command)).not.toBe('');
  });

  it('finds the failures by level, reason and code, and the cause of a refused proof', () => {
    const all = commands.map(found).join('');
    for (const part of ['NOT_GRANTED', 'UNAUTHENTICATED', 'STORE_UNAVAILABLE', 'otmoiclp', 'clock_skew'])
      expect(all).toContain(part);
  });
});
