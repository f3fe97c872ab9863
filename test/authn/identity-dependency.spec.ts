import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { IdentityDependency } from '../../src/authn/identity-dependency';
import { LldapUserDirectory } from '../../src/lldap/lldap.user-directory';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { outcome } from '../conformance/secret-store.conformance';
import { eventually } from '../support/eventually';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { AUDIENCE, podToken } from '../support/service-account-tokens';

/** A dependency with all that it tells. */
function told(name: 'lldap' | 'token_review') {
  const time = new FixedMonotonicTime();
  const logged: string[] = [];
  const states: boolean[] = [];
  const dependency = new IdentityDependency(name, {
    time,
    log: (level, event, fields) => logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
    observer: { dependencyIs: (_name, isUp) => states.push(isUp) },
  });
  return { time, logged, states, dependency };
}

describe('an LLDAP that does not answer', () => {
  let server: Server;
  let url: string;
  let answer: (response: ServerResponse) => void;
  let asked: number;
  const clock = new FixedClock();
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
  const port = () => (server.address() as AddressInfo).port;

  beforeEach(async () => {
    asked = 0;
    answer = (response) => response.end('{"status":"ok"}');
    server = createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        asked += 1;
        answer(response);
      });
    });
    await listen(0);
    url = `http://127.0.0.1:${port()}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  let id = 0;
  const token = () => ({ token: `t${(id += 1)}`, user: 'alice', expiresAtMs: clock.nowMs() + 60_000 });
  const directoryOf = (parts: ReturnType<typeof told>, timeoutMs = 2_000) =>
    new LldapUserDirectory({ url, timeoutMs }, clock, parts.time, parts.dependency);

  it('is reported before the first call, once in the log and as a problem, and so is its return', async () => {
    const where = port();
    await new Promise((resolve) => server.close(resolve));
    const parts = told('lldap');
    const directory = directoryOf(parts);
    await eventually(() => expect(parts.logged).toHaveLength(1));
    for (let call = 0; call < 3; call++)
      expect(await outcome(directory.accepts(token()))).toBe('IDENTITY_UNAVAILABLE');
    expect(parts.logged).toEqual(['warn dependency_lost {"dependency":"lldap","reason":"ECONNREFUSED"}']);
    expect(parts.dependency.sentences()).toEqual([
      'LLDAP does not answer (ECONNREFUSED): calls with a user token are refused. LLDAP_URL says where it is asked.',
    ]);
    await listen(where);
    // Nobody calls: it is asked again by itself.
    parts.time.advance(6_000);
    await eventually(() => expect(parts.logged).toHaveLength(2));
    expect(parts.logged[1]).toBe('info dependency_recovered {"dependency":"lldap"}');
    expect(parts.dependency.sentences()).toEqual([]);
    expect(parts.states).toEqual([false, true]);
  });

  it('is not probed once it was closed, nor while it answers', async () => {
    const [up, closed] = [told('lldap'), told('lldap')];
    directoryOf(up);
    await eventually(() => expect(up.states).toEqual([true]));
    answer = (response) => response.writeHead(503).end();
    directoryOf(closed);
    await eventually(() => expect(closed.states).toEqual([false]));
    closed.dependency.close();
    const before = asked;
    for (const { time } of [up, closed]) time.advance(60_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toBe(before);
    expect(up.logged).toEqual([]);
  });

  it('does not fill the log where it answers every other call', async () => {
    const parts = told('lldap');
    const directory = directoryOf(parts);
    await eventually(() => expect(parts.states).toEqual([true]));
    let calls = 0;
    answer = (response) => (calls++ % 2 === 0 ? response.writeHead(502).end() : response.end('{}'));
    for (let call = 0; call < 40; call++) {
      await outcome(directory.accepts(token()));
      parts.time.advance(100);
    }
    expect(parts.logged).toEqual(['warn dependency_lost {"dependency":"lldap","reason":"status 502"}']);
    answer = (response) => response.end('{}');
    parts.time.advance(5_000);
    await outcome(directory.accepts(token()));
    expect(parts.states).toEqual([true, false, true]);
  });

  it.each<[string, string, (response: ServerResponse) => void]>([
    ['status 404', 'another server answers there', (response) => response.writeHead(404).end()],
    [
      'status 302',
      'a login page is in front of it',
      (response) => response.writeHead(302, { location: '/' }).end(),
    ],
    ['status 403', 'a policy keeps us out', (response) => response.writeHead(403).end()],
    ['status 500', 'it fails', (response) => response.writeHead(500).end('{}')],
    ['too long', 'a large page is served there', (response) => response.end('x'.repeat(65 * 1024))],
    ['no JSON', 'a page is served there', (response) => response.end('<html>')],
    ['no object', 'something else is served there', (response) => response.end('1')],
    ['Timeout', 'it takes the call and says nothing', () => undefined],
    ['UND_ERR_SOCKET', 'it hangs up', (response) => response.destroy()],
  ])('is named with %s where %s, and nobody is let in', async (reason, _what, say) => {
    answer = say;
    const parts = told('lldap');
    const directory = directoryOf(parts, 300);
    await eventually(() =>
      expect(parts.logged).toEqual([`warn dependency_lost {"dependency":"lldap","reason":"${reason}"}`]),
    );
    const accepted = await directory.accepts(token()).catch(() => false);
    expect(accepted).toBe(false);
  });

  it.each([
    ['"invalid token"', 200, '{"status":"invalid token"}'],
    ['a 400', 400, '"invalid token"'],
    ['a 401', 401, ''],
  ])('is one that answers where it refuses the token with %s', async (_title, status, body) => {
    answer = (response) => response.writeHead(status).end(body);
    const parts = told('lldap');
    expect(await directoryOf(parts).accepts(token())).toBe(false);
    expect([parts.logged, parts.states]).toEqual([[], [true]]);
  });
});

describe('a Kubernetes API server that reviews no tokens', () => {
  it('is reported with its error code before the first call, and so is its return', async () => {
    const server = await FakeApiServer.start();
    try {
      server.failing = { status: 403, reason: 'Forbidden' };
      const parts = told('token_review');
      const { api } = informerDepsOf(server, parts.time);
      const clock = new FixedClock();
      const reviewer = new TokenReviewer(api, AUDIENCE, clock, parts.time, parts.dependency);
      await eventually(() => expect(parts.logged).toHaveLength(1));
      const token = podToken(server, { namespace: 'a-b', expiresAtMs: clock.nowMs() + 60_000 });
      expect(await outcome(reviewer.review(token, undefined))).toBe('IDENTITY_UNAVAILABLE');
      expect(parts.logged).toEqual([
        'warn dependency_lost {"dependency":"token_review","reason":"403 Forbidden"}',
      ]);
      expect(parts.dependency.sentences()[0]).toMatch(
        /^The Kubernetes API server reviews no tokens \(403 Forbidden\): /,
      );
      server.failing = undefined;
      parts.time.advance(6_000);
      await eventually(() => expect(parts.states).toEqual([false, true]));
      expect(await reviewer.review(token, undefined)).toMatchObject({ namespace: 'a-b' });
    } finally {
      await server.stop();
    }
  });
});
