import { SecretVault, SecretVaultError, type SecretVaultOptions } from '../../src/client/index';
import { describeWith } from '../support/describe-with';
import { type Driver, go, python } from './drivers';
import { ScriptedServer, VECTORS, type Vector } from './scripted-server';

/** Makes the call of a vector. Returns what a driver of another language prints: `{result}` or `{error}`. */
async function call(
  vault: SecretVault,
  { method, name = '', value = '', ...rest }: Vector['call'],
): Promise<object> {
  try {
    switch (method) {
      case 'retrieve':
        return { result: await vault.retrieve(name) };
      case 'getOr':
        return { result: await vault.getOr(name, rest['fallback']) };
      case 'list':
        return { result: await vault.list() };
      case 'append':
        return { result: await vault.update(name, (current) => `${current}${rest['suffix']}`) };
      case 'create':
        await vault.create(name, value);
        return { result: null };
      case 'update':
        await vault.update(name, value);
        return { result: null };
      case 'put':
        await vault.put(name, value);
        return { result: null };
      case 'delete':
        await vault.delete(name);
        return { result: null };
      default:
        throw new Error(`a vector has the unknown method ${method}`);
    }
  } catch (error: unknown) {
    if (error instanceof SecretVaultError) return { error: error.reason };
    throw error;
  }
}

/** Makes the call of a vector at this server, by a client of some language. */
type Client = (vector: Vector, url: string) => Promise<object>;

const vaultAt = (at: Partial<SecretVaultOptions>): SecretVault =>
  new SecretVault({
    workspace: 'ws',
    environment: 'dev',
    userToken: 'fake-user-token',
    appKey: 'fake-key',
    appSecret: 'fake-secret',
    ...at,
  });

const typescript: Client = ({ systemServer, userToken = 'fake-user-token', call: made }, url) => {
  const at = systemServer === true ? { systemServer: url.replace('http://', '') } : { url };
  return call(vaultAt({ ...at, userToken }), made);
};

const environmentOf = ({ systemServer, userToken }: Partial<Vector>, url: string) => ({
  URL: url,
  VIA_SYSTEM_SERVER: systemServer === true ? 'yes' : '',
  WORKSPACE: 'ws',
  APP_KEY: 'fake-key',
  APP_SECRET: 'fake-secret',
  USER_TOKEN: userToken ?? 'fake-user-token',
});

/** The client of a language that makes its calls by a driver. */
const driven =
  (driver: Driver): Client =>
  async (vector, url) => {
    const [outcome = {}] = await driver([vector.call], environmentOf(vector, url));
    return outcome;
  };

describe('the TypeScript client keeps the vectors', () => keepsVectors(typescript));
describe('the TypeScript client', () => {
  asksAgain(async (calls, url) => {
    const outcomes: object[] = [];
    const vault = vaultAt({ url });
    for (const one of calls) {
      if (one.method === 'aMinuteLater') jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
      else outcomes.push(await call(vault, one));
    }
    jest.restoreAllMocks();
    return outcomes;
  });

  it('serves a cached value no more once its reading was refused', async () => {
    const answer = (status: number, data: object) => ({ status, body: { code: status, message: '', data } });
    const answers = [
      answer(200, { name: 'k', value: 'v', env: 'dev' }),
      answer(503, { reason: 'STORE_UNAVAILABLE' }),
      answer(403, { reason: 'NOT_GRANTED' }),
      answer(503, { reason: 'STORE_UNAVAILABLE' }),
    ];
    const server = await ScriptedServer.start(answers);
    const vault = vaultAt({ url: server.url, cache: { ttlMs: 0, staleIfErrorMs: 60_000 }, maxRetries: 0 });
    const outcomes = [];
    for (const _ of answers) outcomes.push(await call(vault, { method: 'retrieve', name: 'k' }));
    await server.close();
    expect(outcomes).toEqual([
      { result: 'v' },
      { result: 'v' },
      { error: 'NOT_GRANTED' },
      { error: 'STORE_UNAVAILABLE' },
    ]);
  });
});
describeWith('python3-bcrypt', 'the Python client', () => {
  asksAgain(async (calls, url) =>
    (await python(calls, environmentOf({}, url))).filter((_, index) => index !== 2),
  );
});
describeWith('python3-bcrypt', 'the Python client keeps the vectors', () => keepsVectors(driven(python)));
describeWith('go', 'the Go client keeps the vectors', () => keepsVectors(driven(go)));

function keepsVectors(client: Client): void {
  it.concurrent.each(VECTORS.map((vector) => [vector.title, vector] as const))(
    '%s',
    async (_title, vector) => {
      const server = await ScriptedServer.start(vector.answers, vector.accessAnswers);
      try {
        const outcome = await client(vector, server.url);
        expect(outcome).toEqual('error' in vector ? { error: vector.error } : { result: vector.result });
        // Timers may fire a few milliseconds early.
        const lastAtMs = server.arrived.at(-1)?.atMs ?? server.firstAtMs;
        expect(lastAtMs + 5 - server.firstAtMs).toBeGreaterThanOrEqual(vector.minimalMs ?? 0);
        expect(server.tokens).toBe(vector.tokens ?? 1);
        for (const { headers, workspace } of server.arrived) {
          expect([workspace, headers['x-authorization']]).toEqual(['ws', 'fake-user-token']);
          expect(headers['x-access-token']).toMatch(/^token-\d$/);
        }
        const { requests } = vector;
        if (requests !== undefined)
          expect(server.arrived.map(({ operation }) => operation)).toEqual(
            requests.map(({ operation }) => operation),
          );
        for (const [index, { body, headers = {} }] of requests?.entries() ?? []) {
          if (body !== undefined) expect(server.arrived[index]?.body).toEqual(body);
          expect(server.arrived[index]?.headers).toMatchObject(headers);
        }
      } finally {
        await server.close();
      }
    },
  );
}

/** @param make makes calls one after the other, by one client; `aMinuteLater` is none of them. */
function asksAgain(
  make: (calls: readonly Vector['call'][], url: string) => Promise<readonly object[]>,
): void {
  it('asks for an operation that was refused again after a minute', async () => {
    const refused = {
      status: 200,
      body: { code: 1, message: 'permission required is not allowed: DeleteSecret?workspace=ws' },
    };
    const notGranted = { status: 403, body: { code: 403, message: 'no', data: { reason: 'NOT_GRANTED' } } };
    const deleted = { status: 200, body: { code: 200, message: '', data: '' } };
    const server = await ScriptedServer.start([deleted, notGranted, deleted], [refused, 'issue']);
    try {
      const [erase, put] = [
        { method: 'delete', name: 'k' },
        { method: 'update', name: 'k', value: 'v' },
      ];
      expect(await make([put, erase, { method: 'aMinuteLater' }, put, erase], server.url)).toEqual([
        { result: null },
        { error: 'NOT_GRANTED' },
        { result: null },
        { result: null },
      ]);
      const tokens = server.arrived.map(({ headers }) => headers['x-access-token']);
      expect(tokens).toEqual(['token-2', 'token-2', 'token-2', 'token-3']);
    } finally {
      await server.close();
    }
  });
}
