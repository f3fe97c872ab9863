import { StoreClient } from '../../support/store-client';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Server as TcpServer, type AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';
import { SystemMonotonicTime } from '../../../src/time/clock';
import { resilientStore } from '../../../src/stores/resilience/concurrency-limit.secret-store';
import { eventually } from '../../support/eventually';
import { outcome } from '../../conformance/secret-store.conformance';
import { failureAnswer, type FakeAnswer } from '../../support/fake-infisical/fake-answer';
import { sendAnswer } from '../../support/fake-infisical/fake-faults';
import { RunningClock } from '../../support/running-clock';
import { at, openStore } from './opened-store';

const page = (status: number, title: string): FakeAnswer => ({
  status,
  body: undefined,
  raw: `<html><head><title>${title}</title></head></html>`,
  headers: { 'content-type': 'text/html' },
});

/** As fastify answers on connections that are still open once it closes. */
const CLOSING: FakeAnswer = {
  ...failureAnswer(503, 'Service Unavailable', 'Service Unavailable', { code: 'Service Unavailable' }),
  headers: { connection: 'close' },
};

/** What becomes of a request whose server loses its database, its Redis or itself: nothing at all, or one of these. */
const CUT_SHORT: readonly (FakeAnswer | 'reset')[] = [
  'reset',
  failureAnswer(500, 'IdAccessTokenFindOne', 'Something went wrong'),
  'reset',
  failureAnswer(500, 'InternalServerError', 'Something went wrong'),
  failureAnswer(500, 'Failed to find project by id', 'Something went wrong'),
  CLOSING,
];

/** What proxies answer whose only server is away: nginx, HAProxy, Traefik, a gate that asks for a login, pages of maintenance. */
const PAGES: readonly FakeAnswer[] = [
  page(502, '502 Bad Gateway'),
  { ...page(503, ''), raw: 'no available server' },
  page(504, '504 Gateway Time-out'),
  { ...page(404, ''), raw: '404 page not found' },
  page(403, '403 Forbidden'),
  page(401, '401 Authorization Required'),
  page(200, 'Down for maintenance'),
  { status: 200, body: { status: 'maintenance', environment: 'production' } },
  { ...page(302, 'Found'), headers: { location: 'https://status.example/' } },
];

/** Stands where a server is restarted: what it does to the connections is what SIGTERM does. */
class Front {
  readonly #agent = new Agent({ keepAlive: true });
  #server: Server = createServer();
  #port = 0;
  #answer: 'forward' | FakeAnswer = 'forward';
  #cuts = 0;
  readonly #underWay = new Set<ServerResponse>();
  /** How long the server takes for each answer. */
  tookMs = 0;

  constructor(private readonly behind: string) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async listen(answer: 'forward' | FakeAnswer = 'forward'): Promise<void> {
    this.#answer = answer;
    this.#server = createServer((given, response) => void this.#serve(given, response));
    this.#server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** SIGTERM: no new connections, requests under way are cut short, and those on open connections told to go. */
  terminate(): number {
    this.#answer = CLOSING;
    // Without http.Server's own, which would close connections that are idle.
    TcpServer.prototype.close.call(this.#server);
    const cut = [...this.#underWay];
    for (const response of cut) {
      const end = CUT_SHORT[this.#cuts++ % CUT_SHORT.length] ?? 'reset';
      if (end === 'reset') response.socket?.resetAndDestroy();
      else sendAnswer(response, end);
    }
    return cut.length;
  }

  /** The process has ended. */
  async end(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#agent.destroy();
  }

  async #serve(given: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#answer !== 'forward') return sendAnswer(response, this.#answer);
    this.#underWay.add(response);
    response.once('close', () => this.#underWay.delete(response));
    if (this.tookMs > 0) await pause(this.tookMs);
    if (response.destroyed || response.headersSent) return;
    const { method, url, headers } = given;
    const onward = request(`${this.behind}${url}`, { method, headers, agent: this.#agent }, (answer) => {
      if (response.destroyed || response.headersSent) return void answer.resume();
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    given.pipe(onward);
  }
}

const ends: (() => Promise<void>)[] = [];
// However a test ends, it reads no more.
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const WORKSPACES = Array.from({ length: 8 }, (_, n) => `ws${n}`);

/** Reads without end of warm workspaces, each through a cache that asks again every 25 ms, and what became of them. */
async function readersOf(apiVersion: 'fork' | 'v3' | 'v4') {
  const [clock, time] = [new RunningClock(), new SystemMonotonicTime()];
  const { fake, another } = await openStore({ apiVersion });
  const front = new Front(fake.url);
  await front.listen();
  const inner = resilientStore(another({ url: front.url }).store, 20_000, { time, log: () => undefined });
  const cache = { ttlMs: 25, maxStaleMs: 60_000, maxEntries: 1_000, maxBytes: 1 << 26 };
  const deps = { time, invalidationBus: new NoInvalidationBus() };
  const store = new StoreClient(new CachedSecretStore(inner, cache, deps));
  const values = new Map(WORKSPACES.map((workspace) => [workspace, 'v']));
  for (const [workspace, value] of values) {
    await store.create(at(workspace), { name: 'k', value });
    await store.retrieve(at(workspace), 'k');
  }
  let phase = 'warm';
  const [served, failed] = [new Map<string, number>(), new Map<string, number>()];
  const read = async (workspace: string, value: () => Promise<string | undefined>): Promise<void> => {
    while (phase !== 'over') {
      const [began, before] = [phase, values.get(workspace)];
      const ended = await value().catch((error: unknown) => error);
      const isRight = ended === before || ended === values.get(workspace);
      const [counts, key] = isRight ? [served, began] : [failed, `${began}: ${String(ended)}`];
      counts.set(key, (counts.get(key) ?? 0) + 1);
      await pause(3);
    }
  };
  const readers = WORKSPACES.flatMap((workspace) => [
    read(workspace, async () => (await store.retrieve(at(workspace), 'k')).value),
    read(workspace, async () => (await store.list(at(workspace)))[0]?.value),
  ]);
  const end = async (): Promise<void> => {
    phase = 'over';
    await Promise.all(readers);
    await store.close();
    front.close();
  };
  ends.push(end);
  return {
    front,
    fake,
    served,
    failed,
    /** From now on, for so long, and until a read that began in it has ended: some wait for half a second. */
    phase: async (title: string, ms: number) => {
      phase = title;
      await pause(ms);
      await eventually(() => expect(served.has(title) || failed.size > 0).toBe(true));
    },
    write: async (workspace: string, value: string) => {
      await store.update(at(workspace), { name: 'k', value });
      values.set(workspace, value);
    },
    /** Readiness asks Infisical each time. */
    ping: async () => {
      clock.advance(5_000);
      return outcome(store.ping());
    },
    end,
  };
}

describe.each(['fork', 'v3', 'v4'] as const)('a restart of Infisical (%s)', (apiVersion) => {
  it('leaves no read unanswered that the cache can serve, also of what was written just before and is asked for at the cut', async () => {
    const { front, fake, served, failed, ...run } = await readersOf(apiVersion);
    await run.phase('warm', 60);
    front.tookMs = 40;
    // Acknowledged by the server just before it goes.
    for (const workspace of WORKSPACES.slice(0, 4)) await run.write(workspace, 'w');
    const cut = front.terminate();
    const ready = [run.ping()];
    await run.phase('closing', 150);
    await front.end();
    ready.push(run.ping());
    await run.phase('gone', 200);
    fake.killTokens('unknown');
    await front.listen();
    ready.push(run.ping());
    await run.phase('back', 300);
    await run.end();
    expect(Object.fromEntries(failed)).toEqual({});
    expect([...served.keys()]).toEqual(['warm', 'closing', 'gone', 'back']);
    expect(await Promise.all(ready)).toEqual(['done', 'done', 'done']);
    expect(cut).toBeGreaterThan(0);
  });

  it.each(PAGES)('nor while something in front of it answers $status in its place', async (answer) => {
    const { front, fake, served, failed, ...run } = await readersOf(apiVersion);
    front.tookMs = 20;
    await run.phase('warm', 50);
    front.terminate();
    await front.end();
    await front.listen(answer);
    await run.phase('away', 60);
    expect(await run.ping()).toBe('done');
    await run.phase('away', 60);
    await front.end();
    fake.killTokens('unknown');
    await front.listen();
    await run.phase('back', 100);
    await run.end();
    expect(Object.fromEntries(failed)).toEqual({});
    expect([...served.keys()]).toEqual(['warm', 'away', 'back']);
  });
});
