import { setTimeout as pause } from 'node:timers/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import fc from '../support/fast-check';
import { ClientGone, Overloaded } from '../../src/errors/request-errors';
import { ListTooLarge } from '../../src/errors/store-errors';
import { AnswerForms, ok } from '../../src/http/answers/envelope';
import { type ProviderRequest, NO_TARGET } from '../../src/http/request/provider-request';
import { beginCleanup, RequestCleanup } from '../../src/http/server/request-cleanup';
import { LargeAnswers, sendLarge, type AnswerTimeouts } from '../../src/http/server/json-answers';
import { Admission, MEMORY_BOUNDS } from '../../src/limits/admission';
import { LocalRateLimits } from '../../src/limits/rate-limits';
import { eventually } from '../support/eventually';
import { BOBS_OTMOICLP, exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const VALUE = 'x'.repeat(500_000);
const LONG_TIMEOUTS: AnswerTimeouts = { stalledMs: 60_000, largeMs: 60_000, closeMs: 60_000 };

describe('large answers', () => {
  const store = new MemorySecretStore();
  let service: Service;
  const sockets: Socket[] = [];
  const scopeOf = (user: string) => ({ user, workspace: 'otmoic', environment: 'prod' }) as const;
  const headersOf = async ({ app, user, ops }: typeof OTMOICLP): Promise<Record<string, string>> => ({
    'x-authorization': await userToken(user, clock.nowMs()),
    'x-access-token': await accessToken(app, user, ops, clock.nowMs()),
  });
  beforeAll(async () => {
    service = await startService({ clock, store, grantSource: exampleApps() });
    for (const user of ['alice', 'bob'])
      for (let at = 0; at < 14; at += 1) await store.create(scopeOf(user), { name: `k${at}`, value: VALUE });
  });
  afterAll(() => service.close());
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  const list = async (app: typeof OTMOICLP) =>
    httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers: await headersOf(app) });
  /** Clients that ask for a list of 7 MB and take nothing of it. */
  const listUnread = async (app: typeof OTMOICLP, count: number): Promise<void> => {
    const headers = Object.entries(await headersOf(app)).map(([name, value]) => `${name}: ${value}\r\n`);
    const calls = store.calls.length;
    for (let at = 0; at < count; at += 1) {
      const socket = openSocket(service.url, '127.0.0.2').pause();
      socket.write(`POST /ListSecret?workspace=otmoic HTTP/1.1\r\nHost: x\r\n${headers.join('')}\r\n`);
      sockets.push(socket);
    }
    await eventually(() => expect(store.calls.length).toBeGreaterThanOrEqual(calls + count));
  };

  it('that are not read fill the share of their own app only, which then gets 429', async () => {
    let refused = await list(OTMOICLP);
    // One after the other: of many at once all but two are refused, since each takes its memory twice while it is made.
    for (let unread = 0; refused.status === 200 && unread < 20; unread += 1) {
      await listUnread(OTMOICLP, 1);
      refused = await list(OTMOICLP);
    }
    expect([refused.status, refused.body.data.reason]).toEqual([429, 'TOO_MANY_REQUESTS']);
    // Small answers are no matter of memory, and the other app has its own share.
    const one = { headers: await headersOf(OTMOICLP), body: { name: 'none' } };
    expect((await httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, one)).status).toBe(404);
    const bobs = await list(BOBS_OTMOICLP);
    expect([bobs.status, bobs.body.data.length]).toEqual([200, 14]);
    for (const socket of sockets.splice(0)) socket.destroy();
    while ((await list(OTMOICLP)).status !== 200) await pause(5);
  });

  it('are charged to the rate limit of reads by their size', async () => {
    const read = { perSecond: 0.001, burst: 200 };
    const limited = await startService(
      { clock, store, time: new FixedMonotonicTime(), grantSource: exampleApps() },
      { limits: { ...TEST_SETTINGS.limits, rates: { app: { read }, user: {} } } },
    );
    const headers = await headersOf(OTMOICLP);
    const statuses: number[] = [];
    // 7 MB are a hundred and six times 64 KiB.
    for (let at = 0; at < 3; at += 1)
      statuses.push((await httpCall(`${limited.url}/ListSecret?workspace=otmoic`, { headers })).status);
    expect(statuses).toEqual([200, 200, 429]);
    await limited.close();
  });

  it('are charged also where the caller is refused or has gone, since the store was read', async () => {
    const rateLimits = new LocalRateLimits(
      { app: { read: { perSecond: 1, burst: 300 } }, user: {} },
      new FixedMonotonicTime(),
    );
    const admission = new Admission(100, undefined, undefined, { ...MEMORY_BOUNDS, answerBytes: 1_000 });
    const answers = new LargeAnswers(admission, rateLimits);
    const caller = { app: 'otmoiclp', user: 'alice', operations: 'any' } as const;
    const cleanup = new RequestCleanup();
    const target = { ...NO_TARGET, kind: 'read' };
    const request = { caller, cleanup, target, socket: {} } as unknown as ProviderRequest;
    const body = ok(Array(14).fill({ name: 'k', value: VALUE }));
    await expect(answers.textOf(request, body)).rejects.toBeInstanceOf(Overloaded);
    cleanup.run();
    await expect(answers.textOf(request, body)).rejects.toBeInstanceOf(ClientGone);
    await expect(answers.textOf(request, body)).rejects.toBeInstanceOf(ClientGone);
    expect(rateLimits.take('read', caller)).toMatchObject({ limitOf: 'app' });
  });

  it('are refused with 507 where they exceed the largest answer', async () => {
    const large = { ...scopeOf('alice'), environment: 'dev' } as const;
    for (let at = 0; at < 40; at += 1) await store.create(large, { name: `k${at}`, value: VALUE });
    const call = { headers: await headersOf(OTMOICLP), body: { env: 'dev' } };
    const answer = await httpCall(`${service.url}/ListSecret?workspace=otmoic`, call);
    expect([answer.status, answer.body.data.reason]).toEqual([507, 'LIST_TOO_LARGE']);
    expect(answer.headers['etag']).toBeUndefined();
  });
});

describe('an answer that is made in chunks', () => {
  let server: Server;
  let url: string;
  let body: object;
  let figures = (): number => 0;
  let heldWhole = 0;
  let heldMost = 0;
  let failed: unknown;
  let timeouts: AnswerTimeouts | undefined;
  let onEnd = (_isAnswered: boolean): void => undefined;
  const admission = new Admission(100, undefined, {
    opened: (read) => (figures = () => read().answerBytes),
    connectionsOpened: () => undefined,
    refused: () => undefined,
    shed: () => undefined,
  });
  const rateLimits = new LocalRateLimits({ app: {}, user: {} }, new FixedMonotonicTime());
  const answers = new LargeAnswers(admission, rateLimits);

  beforeAll(async () => {
    server = createServer((message, response) => {
      const cleanup = beginCleanup(message, response);
      const request = Object.assign(message, { cleanup, target: NO_TARGET }) as ProviderRequest;
      response.once('close', () => onEnd(cleanup.isAnswered));
      void answers.textOf(request, body).then(
        ({ chunks, release }) => {
          heldWhole = figures();
          message.socket.once('close', release);
          sendLarge(response, 200, chunks, timeouts);
        },
        (error: unknown) => {
          [failed, heldMost] = [error, figures()];
          response.destroy();
        },
      );
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => new Promise((closed) => server.close(closed)));

  const secrets = fc.array(
    fc.record({
      name: fc.string(),
      value: fc.oneof(fc.string(), fc.constant('x'.repeat(70_000))),
      env: fc.constant('prod'),
    }),
    { maxLength: 8 },
  );
  const data = fc.oneof(
    secrets,
    fc.constant(''),
    secrets.map(([first]) => first ?? ''),
  );

  it.each([
    ['documented', 'documented', false],
    ['sidecar', 'sidecar', false],
    ['wrapped by system-server', 'documented', true],
  ] as const)(
    'is the same text as in one, and held until it is taken (%s)',
    async (_, style, asSystemServer) => {
      const forms = new AnswerForms(style);
      const target = { ...NO_TARGET, operation: 'ListSecret', asSystemServer } as const;
      await fc.assert(
        fc.asyncProperty(data, async (value) => {
          body = forms.success(target, ok(value));
          const { text, headers } = await httpCall(url, { method: 'GET' });
          expect(text).toBe(JSON.stringify(body));
          expect(headers['content-length']).toBe(String(Buffer.byteLength(text)));
          expect(heldWhole).toBeGreaterThanOrEqual(Buffer.byteLength(text));
          expect(heldWhole).toBeLessThan(Buffer.byteLength(text) + 1_000);
          await eventually(() => expect(figures()).toBe(0));
        }),
        { numRuns: 60 },
      );
    },
  );

  it('is not sent where it is too large, and not made any further', async () => {
    body = ok(Array(30).fill({ name: 'k', value: '\u0001'.repeat(500_000) }));
    await expect(httpCall(url, { method: 'GET' })).rejects.toThrow();
    expect(failed).toBeInstanceOf(ListTooLarge);
    expect(heldMost).toBeLessThan(20 * 1024 * 1024);
    await eventually(() => expect(figures()).toBe(0));
  });

  it('is not made any further once its client has gone', async () => {
    body = ok(Array(28).fill({ name: 'k', value: VALUE }));
    failed = undefined;
    const socket = openSocket(url);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => expect(figures()).toBeGreaterThan(0));
    socket.resetAndDestroy();
    await eventually(() => expect(failed).toBeInstanceOf(ClientGone));
    await eventually(() => expect(figures()).toBe(0));
  });

  /** Whether a client that takes so many bytes of 14 MB each time gets to their end before it is cut off. */
  const isTaken = async (bytesEach: number, everyMs: number): Promise<boolean> => {
    body = ok(Array(28).fill({ name: 'k', value: VALUE }));
    const ended = new Promise<boolean>((resolve) => (onEnd = resolve));
    const socket = openSocket(url).on('readable', () => undefined);
    const taking = setInterval(() => {
      for (let left = bytesEach; left > 0;) left -= (socket.read() as Buffer | null)?.length ?? left;
    }, everyMs);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const isFinished = await ended;
    clearInterval(taking);
    socket.destroy();
    return isFinished;
  };

  it('stays reserved while the operating system has it, until its client closes or the time-out', async () => {
    body = ok({ name: 'k', value: VALUE });
    for (const isWell of [true, false]) {
      timeouts = { ...LONG_TIMEOUTS, closeMs: isWell ? 60_000 : 300 };
      const finished = new Promise<boolean>((resolve) => (onEnd = resolve));
      const socket = openSocket(url).pause();
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      expect(await finished).toBe(true);
      expect(figures()).toBeGreaterThan(VALUE.length);
      if (isWell) socket.resume();
      await eventually(() => expect(figures()).toBe(0));
      socket.destroy();
    }
  });

  it('is cut off where its client reads nothing of it for too long', async () => {
    timeouts = { ...LONG_TIMEOUTS, stalledMs: 200 };
    expect(await isTaken(0, 1_000)).toBe(false);
  });

  it('is cut off where its client reads too slowly, and not where it is only slow', async () => {
    timeouts = { ...LONG_TIMEOUTS, largeMs: 500 };
    expect(await isTaken(1_000, 50)).toBe(false);
    timeouts = { ...LONG_TIMEOUTS, stalledMs: 1_000 };
    expect(await isTaken(300_000, 10)).toBe(true);
  });
});
