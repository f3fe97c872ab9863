import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { NotGrantedError, SecretVault, SecretVaultError } from '../../src/client/index';
import { describeWith, pythonWithBcrypt } from '../support/describe-with';
import { type Driver, go, python } from './drivers';
import { ScriptedServer, type ScriptedAnswer } from './scripted-server';

const answer = (status: number, data: unknown): ScriptedAnswer => ({
  status,
  body: { code: status, message: '', data },
});
const DONE = answer(200, '');
const NOT_GRANTED = answer(403, { reason: 'NOT_GRANTED' });
const SET_BACK_MS = -3_600_000;
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

/** Returns the grants that the refusals of calls of these methods name, one after the other; null where one names none. */
type GrantsOf = (at: { url: string } | { systemServer: string }, methods: Method[]) => Promise<unknown>;
type Method = 'retrieve' | 'update' | 'delete' | 'list';

const typescript: GrantsOf = async (at, methods) => {
  const vault = new SecretVault({ ...at, workspace: 'ws', ...APP });
  const calls = {
    retrieve: () => vault.retrieve('k'),
    update: () => vault.update('k', 'v'),
    delete: () => vault.delete('k'),
    list: () => vault.list(),
  };
  const grants: unknown[] = [];
  for (const method of methods) {
    const error: unknown = await calls[method]().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotGrantedError);
    grants.push((error as NotGrantedError).details.grant ?? null);
  }
  return grants;
};

const driven =
  (driver: Driver): GrantsOf =>
  async (at, methods) => {
    const outcomes = await driver(
      methods.map((of) => ({ method: 'grantOf', of, name: 'k', value: 'v' })),
      {
        URL: 'url' in at ? at.url : at.systemServer,
        VIA_SYSTEM_SERVER: 'url' in at ? '' : 'yes',
        WORKSPACE: 'ws',
        APP_KEY: APP.appKey,
        APP_SECRET: APP.appSecret,
        USER_TOKEN: APP.userToken,
      },
    );
    return outcomes.map((outcome) => (outcome as { result?: unknown }).result);
  };

const refusalOf = (why: string): ScriptedAnswer => ({
  status: 200,
  body: { code: 1, message: `permission required is not allowed${why}` },
});

function namesTheGrantThatIsMissing(grantsOf: GrantsOf): void {
  it('names the line that the manifest needs for the called operation, and asks for a refused one once a minute at most', async () => {
    const operations = ['RetrieveSecret', 'CreateSecret', 'UpdateSecret', 'DeleteSecret', 'ListSecret'];
    const ofEach = operations.map((name) => refusalOf(`: app a has no grant for ${name}?workspace=ws`));
    const server = await ScriptedServer.start([], [...ofEach, 'issue']);
    expect(await grantsOf({ url: server.url }, ['retrieve', 'retrieve', 'list', 'delete'])).toEqual([
      'RetrieveSecret?workspace=ws',
      'RetrieveSecret?workspace=ws',
      'ListSecret?workspace=ws',
      'DeleteSecret?workspace=ws',
    ]);
    expect(server.tokens).toBe(operations.length);
    await server.close();
  });

  it('asks for a refused operation once a minute at most also where system-server names none', async () => {
    const server = await ScriptedServer.start([], [refusalOf('')]);
    const methods: Method[] = ['retrieve', 'retrieve', 'update', 'retrieve', 'update'];
    const grants = await grantsOf({ systemServer: server.url.replace('http://', '') }, methods);
    expect(grants).toEqual(
      methods.map((method) => `${method === 'update' ? 'Update' : 'Retrieve'}Secret?workspace=ws`),
    );
    expect(server.ops.slice(1)).toEqual([['RetrieveSecret?workspace=ws'], ['UpdateSecret?workspace=ws']]);
    await server.close();
  });

  it("names no line that the manifest needs where the workspace is another app's, and asks once a minute at most", async () => {
    const taken = refusalOf(': workspace ws belongs to another app of this user');
    const server = await ScriptedServer.start([], [taken]);
    expect(await grantsOf({ url: server.url }, ['retrieve', 'list', 'retrieve'])).toEqual([null, null, null]);
    expect(server.tokens).toBe(1);
    await server.close();
  });
}

describe('the TypeScript client', () => {
  namesTheGrantThatIsMissing(typescript);

  afterEach(() => jest.restoreAllMocks());

  it('asks for an operation that was refused again after a minute', () =>
    asksAgain(async (url) => {
      const vault = new SecretVault({ url, workspace: 'ws', ...APP });
      const both = async () => [await reasonOf(vault.update('k', 'v')), await reasonOf(vault.delete('k'))];
      const before = await both();
      jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 60_000);
      // The time that a clock shows may be set back meanwhile.
      jest.spyOn(Date, 'now').mockReturnValue(Date.now() + SET_BACK_MS);
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

describeWith('go', 'the Go client', () => namesTheGrantThatIsMissing(driven(go)));

describeWith('python3-bcrypt', 'the Python client', () => {
  namesTheGrantThatIsMissing(driven(python));

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
