import { Agent, createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { SystemMonotonicTime } from '../../src/time/clock';
import { type ApiCall, KubernetesApi, KubernetesFailure } from '../../src/kubernetes/kubernetes-api';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { apiOf } from './informer-deps';

const PATH = '/apis/sys.bytetrade.io/v1alpha1/namespaces/user-system-alice/providerregistries';
const registry = (endpoint: string) => ({
  apiVersion: 'sys.bytetrade.io/v1alpha1',
  kind: 'ProviderRegistry',
  metadata: { name: 'secret-provider' },
  spec: { kind: 'provider', endpoint },
});

describe('calls of the Kubernetes API', () => {
  let server: FakeApiServer;
  let api: KubernetesApi;
  beforeAll(async () => {
    server = await FakeApiServer.start();
    api = apiOf(server, new SystemMonotonicTime());
  });
  afterAll(() => server.stop());

  const send = (method: ApiCall['method'], path = PATH, body?: unknown): Promise<unknown> =>
    api.send({ method, path, timeoutMs: 2000, ...(body === undefined ? {} : { body }) });
  const failureOf = async (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => 'no failure',
      (error: unknown) => error,
    );

  it('create, read, patch and delete an object, and distinguish a conflict from a missing object', async () => {
    const one = `${PATH}/secret-provider`;
    expect(await failureOf(send('GET', one))).toEqual(new KubernetesFailure('NotFound', 404));
    await send('POST', PATH, registry('a:80'));
    expect(await failureOf(send('POST', PATH, registry('b:80')))).toMatchObject({
      status: 409,
      reason: 'AlreadyExists',
    });
    await send('PATCH', one, { spec: { endpoint: 'c:80' } });
    expect(await send('GET', one)).toMatchObject({
      metadata: { namespace: 'user-system-alice' },
      spec: { kind: 'provider', endpoint: 'c:80' },
    });
    await send('DELETE', one);
    expect(await failureOf(send('DELETE', one))).toMatchObject({ status: 404 });
  });

  it('keep neither our token nor the server’s message of a failure', async () => {
    const right = server.token;
    server.token = 'another';
    const options = () => ({ headers: { authorization: `Bearer ${right}` } });
    const stranger = new KubernetesApi({ server: server.url, options }, new SystemMonotonicTime());
    const failure = await failureOf(stranger.send({ method: 'GET', path: PATH, timeoutMs: 2000 }));
    server.token = right;
    expect(failure).toEqual(new KubernetesFailure('Unauthorized', 401));
    expect(
      JSON.stringify(failure) + String(failure) + JSON.stringify(Object.keys(failure as object)),
    ).not.toContain('canary');
  });

  it('fail with the code of the system where nobody listens, and with Timeout where nobody answers', async () => {
    const options = () => ({});
    const nobody = new KubernetesApi({ server: 'http://127.0.0.1:1', options }, new SystemMonotonicTime());
    const call = { method: 'GET', path: PATH, timeoutMs: 2000 } as const;
    expect(await failureOf(nobody.send(call))).toEqual(new KubernetesFailure('ECONNREFUSED'));
    server.listDelayMs = 60_000;
    expect(await failureOf(api.send({ ...call, timeoutMs: 50 }))).toEqual(new KubernetesFailure('Timeout'));
    server.listDelayMs = 0;
    const stopped = { ...call, signal: AbortSignal.abort() };
    expect(await failureOf(api.send(stopped))).toEqual(new KubernetesFailure('Stopped'));
  });

  it.each(['http', 'https'])(
    'give up a host that lets no connection come about by %s after 3 s, however long the call may take',
    async (scheme) => {
      const mute = createServer(() => undefined);
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      const { port } = mute.address() as AddressInfo;
      const time = new FixedMonotonicTime();
      // Where TCP itself swallows everything, as at a machine that is off, no test can be: an agent that never connects is.
      const agent = scheme === 'http' ? neverConnecting() : undefined;
      const options = () => (agent === undefined ? {} : { agent });
      const away = new KubernetesApi({ server: `${scheme}://127.0.0.1:${port}`, options }, time);
      const failure = failureOf(away.send({ method: 'GET', path: PATH, timeoutMs: 30_000 }));
      await new Promise((resolve) => setTimeout(resolve, 50));
      time.advance(2_999);
      let ended = false;
      void failure.then(() => (ended = true));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(ended).toBe(false);
      time.advance(1);
      expect(await failure).toEqual(new KubernetesFailure('Timeout'));
      mute.close();
    },
  );

  it('take a line of a watch apart once, in however many chunks it comes', async () => {
    const [chunk, chunks] = ['x'.repeat(256), 1_000];
    const line = JSON.stringify({ type: 'ADDED', note: chunk.repeat(chunks), end: 'é' });
    const bytes = Buffer.from(`${line}\n{"a":1}\n\n${line}\n`);
    const watched = createHttpServer((_request, response) => {
      const next = (from: number): void => {
        if (from >= bytes.length) response.end();
        else response.write(bytes.subarray(from, from + 257), () => next(from + 257));
      };
      next(0);
    });
    await new Promise<void>((resolve) => watched.listen(0, '127.0.0.1', resolve));
    const { port } = watched.address() as AddressInfo;
    const away = new KubernetesApi({ server: `http://127.0.0.1:${port}`, options: () => ({}) }, new SystemMonotonicTime()); // prettier-ignore
    const values: unknown[] = [];
    const cut = jest.spyOn(String.prototype, 'split');
    await away.watch({ method: 'GET', path: PATH, timeoutMs: 20_000 }, (value) => values.push(value));
    const taken = cut.mock.contexts.filter((_, at) => (cut.mock.calls[at]?.[0] as unknown) === '\n');
    const characters = taken.reduce((sum, text) => sum + String(text).length, 0);
    cut.mockRestore();
    watched.close();
    expect(values).toEqual([JSON.parse(line), { a: 1 }, JSON.parse(line)]);
    expect(characters).toBeLessThan(2 * bytes.length);
  });

  it('use connections that notice a dead peer, and wait for a slow one', async () => {
    const time = new FixedMonotonicTime();
    const keptAlive = jest.spyOn(Socket.prototype, 'setKeepAlive');
    server.listDelayMs = 100;
    const answer = apiOf(server, time).send({ method: 'GET', path: PATH, timeoutMs: 30_000 });
    await eventually(() => expect(server.requests.at(-1)?.path).toBe(PATH));
    time.advance(29_000);
    expect(await answer).toMatchObject({ items: [] });
    expect(keptAlive).toHaveBeenCalledWith(true, 5_000);
    keptAlive.mockRestore();
    server.listDelayMs = 0;
  });
});

/** Its sockets begin to connect and never end. */
function neverConnecting(): Agent {
  const agent = new Agent();
  agent.createConnection = () => Object.defineProperty(new Socket(), 'connecting', { value: true });
  return agent;
}
