import bcryptjs from 'bcryptjs';
import { SecretVault, SecretVaultError, type SecretVaultOptions } from '../../src/client/index';
import { describeWith } from '../support/describe-with';
import { type Driver, go, python } from './drivers';
import { ScriptedServer, VECTORS, type Vector } from './scripted-server';

/** A real proof takes a tenth of a second of a processor's time, and the scripted server accepts each. */
const BCRYPT_COST = 4;
const hashing: { readonly hash: (text: string, cost: number) => Promise<string> } = bcryptjs;
const { hash } = hashing;
jest.spyOn(hashing, 'hash').mockImplementation((text, cost) => {
  // The one cost that the service takes.
  if (cost !== 10) throw new Error(`a proof of cost ${cost}`);
  return hash(text, BCRYPT_COST);
});

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

const typescript: Client = (vector, url) => {
  const at = vector.systemServer === true ? { systemServer: url.replace('http://', '') } : { url };
  const options: SecretVaultOptions = {
    ...at,
    workspace: 'ws',
    environment: 'dev',
    userToken: vector.userToken ?? 'fake-user-token',
  };
  return call(new SecretVault({ ...options, appKey: 'fake-key', appSecret: 'fake-secret' }), vector.call);
};

/** The client of a language that makes its calls by a driver. */
const driven =
  (driver: Driver): Client =>
  async (vector, url) => {
    const [outcome = {}] = await driver([vector.call], {
      URL: url,
      VIA_SYSTEM_SERVER: vector.systemServer === true ? 'yes' : '',
      WORKSPACE: 'ws',
      APP_KEY: 'fake-key',
      APP_SECRET: 'fake-secret',
      USER_TOKEN: vector.userToken ?? 'fake-user-token',
      BCRYPT_COST: String(BCRYPT_COST),
    });
    return outcome;
  };

describe('the TypeScript client keeps the vectors', () => keepsVectors(typescript));
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
        if (vector.ops !== undefined) expect(server.ops).toEqual(vector.ops);
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
