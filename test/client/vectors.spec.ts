import { SecretVault, SecretVaultError, type SecretVaultOptions } from '../../client/src/index';
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

describe('the TypeScript client keeps the vectors', () => {
  it.each(VECTORS.map((vector) => [vector.title, vector] as const))('%s', async (_title, vector) => {
    const server = await ScriptedServer.start(vector.answers);
    try {
      const at: Pick<SecretVaultOptions, 'url' | 'systemServer'> =
        vector.systemServer === true
          ? { systemServer: server.url.replace('http://', '') }
          : { url: server.url };
      const vault = new SecretVault({
        ...at,
        workspace: 'ws',
        environment: 'dev',
        appKey: 'fake-key',
        appSecret: 'fake-secret',
        userToken: 'fake-user-token',
      });
      const outcome = await call(vault, vector.call);
      expect(outcome).toEqual('error' in vector ? { error: vector.error } : { result: vector.result });
      // Timers may fire a few milliseconds early.
      const [first, last] = [server.arrived[0]?.atMs ?? 0, server.arrived.at(-1)?.atMs ?? 0];
      expect(last + 5).toBeGreaterThanOrEqual(first + (vector.minimalMs ?? 0));
      expect(server.tokens).toBe(vector.tokens ?? 1);
      for (const { headers, workspace } of server.arrived) {
        expect([workspace, headers['x-authorization']]).toEqual(['ws', 'fake-user-token']);
        expect(headers['x-access-token']).toMatch(/^token-\d$/);
      }
      const { requests = [] } = vector;
      if (requests.length > 0)
        expect(server.arrived.map(({ operation }) => operation)).toEqual(
          requests.map(({ operation }) => operation),
        );
      for (const [index, { body, headers = {} }] of requests.entries()) {
        if (body !== undefined) expect(server.arrived[index]?.body).toEqual(body);
        expect(server.arrived[index]?.headers).toMatchObject(headers);
      }
    } finally {
      await server.close();
    }
  });
});
