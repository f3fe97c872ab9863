import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { SecretVault, SecretVaultError } from '../../src/client/index';
import { describeWith, pythonWithBcrypt } from '../support/describe-with';
import { python } from './drivers';
import { ScriptedServer, type ScriptedAnswer } from './scripted-server';

const answer = (status: number, data: unknown): ScriptedAnswer => ({
  status,
  body: { code: status, message: '', data },
});
const DONE = answer(200, '');
const NOT_GRANTED = answer(403, { reason: 'NOT_GRANTED' });
const APP = { appKey: 'fake-key', appSecret: 'fake-secret', userToken: 'fake-user-token' };

/** What a client that may not delete meets when it updates and deletes, and a minute later does so again. */
async function asksAgain(
  updateAndDelete: (url: string) => Promise<readonly (string | undefined)[]>,
): Promise<void> {
  const refused = {
    status: 200,
    body: { code: 1, message: 'permission required is not allowed: DeleteSecret?workspace=ws' },
  };
  const server = await ScriptedServer.start([DONE, NOT_GRANTED, DONE], [refused, 'issue']);
  try {
    expect(await updateAndDelete(server.url)).toEqual([undefined, 'NOT_GRANTED', undefined, undefined]);
    const tokens = server.arrived.map(({ headers }) => headers['x-access-token']);
    expect(tokens).toEqual(['token-2', 'token-2', 'token-2', 'token-3']);
  } finally {
    await server.close();
  }
}

const reasonOf = (call: Promise<unknown>): Promise<string | undefined> =>
  call.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof SecretVaultError) return error.reason;
      throw error;
    },
  );

describe('the TypeScript client', () => {
  afterEach(() => jest.restoreAllMocks());

  it('asks for an operation that was refused again after a minute', () =>
    asksAgain(async (url) => {
      const vault = new SecretVault({ url, workspace: 'ws', ...APP });
      const both = async () => [await reasonOf(vault.update('k', 'v')), await reasonOf(vault.delete('k'))];
      const before = await both();
      jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
      return [...before, ...(await both())];
    }));

  it('says that the clock is off where system-server finds the proof too old', async () => {
    const refused = { status: 200, body: { code: 1, message: 'request time expired' } };
    const server = await ScriptedServer.start([DONE], [refused]);
    const vault = new SecretVault({ url: server.url, workspace: 'ws', ...APP });
    await expect(vault.update('k', 'v')).rejects.toThrow('The clock is off');
    await server.close();
  });

  it('takes the scheme of an address in capitals for one', async () => {
    const server = await ScriptedServer.start([DONE]);
    const url = server.url.replace('http', 'HTTP');
    await new SecretVault({ url, workspace: 'ws', ...APP }).update('k', 'v');
    await server.close();
  });

  it('serves a cached value no more once its reading was refused', async () => {
    const away = answer(503, { reason: 'STORE_UNAVAILABLE' });
    const answers = [answer(200, { name: 'k', value: 'v', env: 'prod' }), away, NOT_GRANTED, away];
    const server = await ScriptedServer.start(answers);
    const cache = { ttlMs: 0, staleIfErrorMs: 60_000 };
    const vault = new SecretVault({ url: server.url, workspace: 'ws', ...APP, cache, maxRetries: 0 });
    const reasons: (string | undefined)[] = [];
    for (const _ of answers) reasons.push(await reasonOf(vault.retrieve('k')));
    await server.close();
    expect(reasons).toEqual([undefined, undefined, 'NOT_GRANTED', 'STORE_UNAVAILABLE']);
  });
});

describeWith('python3-bcrypt', 'the Python client', () => {
  it('takes the port of the scheme where an address of IPv6 has none', () => {
    const script = `
import sys
sys.path.insert(0, sys.argv[1])
import olares_secrets
def connect(connection):
    print(connection.host, connection.port)
    raise OSError
olares_secrets.http.client.HTTPConnection.connect = connect
for url in ("http://[fd00::1]", "http://[fd00::1]:81"):
    vault = olares_secrets.SecretVault(workspace="ws", url=url, app_key="k", app_secret="s")
    try:
        vault._post("/", {}, {}, True)
    except olares_secrets.SecretVaultError:
        pass
`;
    const folder = resolve(__dirname, '../../examples/clients');
    const { stdout } = spawnSync(pythonWithBcrypt() ?? '', ['-B', '-c', script, folder], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('fd00::1 80\nfd00::1 81\n');
  });

  it('asks for an operation that was refused again after a minute', () =>
    asksAgain(async (url) => {
      const both = [
        { method: 'update', name: 'k', value: 'v' },
        { method: 'delete', name: 'k' },
      ];
      const outcomes = await python([...both, { method: 'aMinuteLater' }, ...both], {
        URL: url,
        VIA_SYSTEM_SERVER: '',
        WORKSPACE: 'ws',
        APP_KEY: APP.appKey,
        APP_SECRET: APP.appSecret,
        USER_TOKEN: APP.userToken,
      });
      return outcomes.flatMap((outcome, at) => (at === 2 ? [] : [(outcome as { error?: string }).error]));
    }));
});
