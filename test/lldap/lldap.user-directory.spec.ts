import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LldapUserDirectory } from '../../src/lldap/lldap.user-directory';
import { UserTokenVerifier } from '../../src/authn/tokens';
import { SystemMonotonicTime } from '../../src/time/clock';
import { FixedClock } from '../support/fixed-clock';
import { RunningMonotonicTime } from '../support/running-monotonic-time';
import { eventually } from '../support/eventually';
import { fixed } from '../../src/reloadable/reloadable';
import { USER_TOKEN_SECRET, userToken } from '../support/tokens';
import { outcome } from '../conformance/secret-store.conformance';
import { describeUserDirectory } from '../conformance/user-directory.conformance';

/** Passes as the clock of a test does. */
class TimeOf extends SystemMonotonicTime {
  constructor(private readonly clock: FixedClock) {
    super();
  }

  override nowMs(): number {
    return this.clock.nowMs();
  }
}

describe('as a directory', () => {
  let server: Server;
  let loggedOut: Set<string>;
  beforeEach(async () => {
    loggedOut = new Set();
    server = createServer((request, response) => {
      const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
      request.resume().on('end', () => {
        response.end(JSON.stringify({ status: loggedOut.has(token) ? 'invalid token' : 'ok' }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  const cutOff = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  afterEach(cutOff);

  describeUserDirectory('LLDAP', {
    async open(clock) {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const directory = new LldapUserDirectory({ url, timeoutMs: 2_000 }, clock, new TimeOf(clock));
      return { directory, logOut: (token) => void loggedOut.add(token), cutOff };
    },
  });
});

/** LLDAP as far as we ask it: says what a test wants and remembers what it was asked. */
describe('where LLDAP is configured, it is asked whether a token was logged out', () => {
  let server: Server;
  let answer: { status: number; body: string; delayMs?: number; gate?: Promise<void> };
  let asked: { authorization: string | undefined; body: string; path: string | undefined }[];
  let clock: FixedClock;
  let time: RunningMonotonicTime;
  let verifier: UserTokenVerifier;
  let patient: UserTokenVerifier;
  beforeEach(async () => {
    asked = [];
    answer = { status: 200, body: '{"status":"ok"}' };
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        asked.push({ authorization: request.headers.authorization, body, path: request.url });
        const { status, delayMs = 0, gate } = answer;
        const say = (): void => void setTimeout(() => response.writeHead(status).end(answer.body), delayMs);
        if (gate === undefined) say();
        else void gate.then(say);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    clock = new FixedClock();
    time = new RunningMonotonicTime();
    verifier = new UserTokenVerifier(
      fixed(USER_TOKEN_SECRET),
      clock,
      new LldapUserDirectory({ url, timeoutMs: 300 }, clock, time),
    );
    patient = new UserTokenVerifier(
      fixed(USER_TOKEN_SECRET),
      clock,
      new LldapUserDirectory({ url, timeoutMs: 20_000 }, clock, time),
    );
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const token = async (): Promise<string> => userToken('alice', clock.nowMs());

  it('in the form that LLDAP wants', async () => {
    const sent = await token();
    await expect(verifier.verify(sent)).resolves.toMatchObject({ user: 'alice' });
    expect(asked).toEqual([
      {
        authorization: `Bearer ${sent}`,
        body: JSON.stringify({ access_token: sent }),
        path: '/auth/token/verify',
      },
    ]);
  });

  it('only about tokens that verify', async () => {
    expect(await outcome(verifier.verify('garbage'))).toBe('UNAUTHENTICATED');
    expect(asked).toEqual([]);
  });

  it('at most once a minute for each token, and once at a time', async () => {
    const sent = await token();
    await Promise.all(Array.from({ length: 20 }, () => verifier.verify(sent)));
    time.advance(59_000);
    await verifier.verify(sent);
    expect(asked).toHaveLength(1);
    time.advance(2_000);
    await verifier.verify(sent);
    expect(asked).toHaveLength(2);
  });

  it.each([
    ['"invalid token"', 200, '{"status":"invalid token"}'],
    ['a 400', 400, ''],
    ['a 401', 401, ''],
  ])('a refusal is final: %s', async (_title, status, body) => {
    const sent = await token();
    answer = { status, body };
    expect(await outcome(verifier.verify(sent))).toBe('UNAUTHENTICATED');
    answer = { status: 200, body: '{"status":"ok"}' };
    clock.advance(120_000);
    expect(await outcome(verifier.verify(sent))).toBe('UNAUTHENTICATED');
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['a 302', 302, ''],
    ['a 404', 404, ''],
    ['a 500', 500, '{}'],
    ['what is no JSON', 200, '<html>'],
  ])('refuses by what says nothing about the token, and asks again: %s', async (_title, status, body) => {
    const sent = await token();
    answer = { status, body };
    expect(await outcome(verifier.verify(sent))).toBe('UNAUTHENTICATED');
    answer = { status: 200, body: '{"status":"ok"}' };
    await expect(verifier.verify(sent)).resolves.toMatchObject({ user: 'alice' });
  });

  it('refuses a logged-out token within 60 s', async () => {
    const sent = await token();
    await verifier.verify(sent);
    answer = { status: 200, body: '{"status":"invalid token"}' };
    time.advance(60_000);
    clock.advance(-3_000);
    expect(await outcome(verifier.verify(sent))).toBe('UNAUTHENTICATED');
  });

  it.each([429, 502, 503, 504])(
    'answers 503 on a %i, which is not from LLDAP, and asks again',
    async (status) => {
      const sent = await token();
      answer = { status, body: '' };
      expect(await outcome(verifier.verify(sent))).toBe('IDENTITY_UNAVAILABLE');
      answer = { status: 200, body: '{"status":"ok"}' };
      await expect(verifier.verify(sent)).resolves.toMatchObject({ user: 'alice' });
    },
  );

  it('takes no more of an answer than LLDAP ever sends, and follows no redirect with the token', async () => {
    let sentBytes = 0;
    const part = Buffer.alloc(64 * 1024, 'x');
    server.removeAllListeners('request').on('request', (request, response) => {
      if (request.url === '/elsewhere') asked.push({ authorization: 'x', body: '', path: request.url });
      if (answer.status === 302) return void response.writeHead(302, { location: '/elsewhere' }).end();
      const send = (): void => {
        while (!response.destroyed && response.write(part)) sentBytes += part.length;
      };
      response.on('drain', send);
      send();
    });
    expect(await outcome(patient.verify(await token()))).toBe('UNAUTHENTICATED');
    expect(sentBytes).toBeLessThan(16 * 1024 * 1024);
    answer = { status: 302, body: '' };
    const another = await userToken('bob', clock.nowMs());
    expect(await outcome(patient.verify(another))).toBe('UNAUTHENTICATED');
    expect(asked).toEqual([]);
  });

  it('makes four calls at a time for a user with many tokens, and does not delay other users', async () => {
    let open: () => void = () => undefined;
    answer = { status: 200, body: '{"status":"ok"}', gate: new Promise((resolve) => (open = resolve)) };
    const of = async (user: string, turn: number) =>
      outcome(patient.verify(await userToken(user, clock.nowMs(), { claims: { jid: turn } })));
    const flood = Promise.all(Array.from({ length: 100 }, (_, turn) => of('mallory', turn)));
    await eventually(() => expect(asked).toHaveLength(4));
    const others = Promise.all(Array.from({ length: 10 }, (_, turn) => of(`user-${turn}`, 0)));
    await eventually(() => expect(asked).toHaveLength(14));
    open();
    expect(await others).toEqual(Array(10).fill('done'));
    const told = await flood;
    expect(told.filter((one) => one === 'done')).toHaveLength(4 + 16);
    expect(told.filter((one) => one === 'TOO_MANY_REQUESTS')).toHaveLength(80);
    // What was refused was not remembered.
    expect(await of('mallory', 99)).toBe('done');
  });

  it('answers 503 in time and accepts nobody when LLDAP does not answer', async () => {
    answer = { status: 200, body: '{}', delayMs: 2000 };
    const began = Date.now();
    expect(await outcome(verifier.verify(await token()))).toBe('IDENTITY_UNAVAILABLE');
    expect(Date.now() - began).toBeLessThan(1500);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await outcome(verifier.verify(await token()))).toBe('IDENTITY_UNAVAILABLE');
  });
});
