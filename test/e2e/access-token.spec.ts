import { hash } from 'bcrypt';
import { decodeJwt } from 'jose';
import { eventually } from '../support/eventually';
import { EXAMPLE_APPS, exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { userToken } from '../support/tokens';
import { UNLIMITED_CONNECTIONS } from '../support/unlimited-connections';

const LIST = 'ListSecret?workspace=otmoic';
const PERM = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: [LIST] };

const clock = new FixedClock();
const store = new MemorySecretStore();
const grants = exampleApps();
let service: Service;
beforeAll(async () => (service = await startService({ clock, store, grantSource: grants })));
afterAll(async () => service.close());
// A hash is good once; each test gets a second of its own.
beforeEach(() => clock.advance(1000));

const nowS = (): number => Math.floor(clock.nowMs() / 1000);
const proof = async (app = OTMOICLP, timestamp = nowS()): Promise<string> =>
  hash(`${app.appKey}${timestamp}${app.appSecret}`, 10);
const access = async (body: unknown): Promise<Answer> =>
  httpCall(`${service.url}/permission/v1alpha1/access`, { body });
const request = async (overrides: object = {}): Promise<Answer> =>
  access({ app_key: OTMOICLP.appKey, timestamp: nowS(), token: await proof(), perm: PERM, ...overrides });
const use = async (token: string, target = LIST): Promise<Answer> =>
  httpCall(`${service.url}/${target}`, {
    headers: { 'x-authorization': await userToken('alice', clock.nowMs()), 'x-access-token': token },
    body: target.startsWith('List') ? {} : { name: 'k' },
  });

const REFUSED = { code: 100001, message: 'invalid auth token' };

describe('POST /permission/v1alpha1/access', () => {
  it("issues a token for five minutes, in the form that today's clients read", async () => {
    const answer = await request();
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        code: 0,
        message: 'success',
        data: {
          access_token: expect.any(String),
          expired_at: new Date((nowS() + 300) * 1000).toISOString(),
        },
      },
    ]);
    expect((await use(answer.body.data.access_token)).body).toEqual({ code: 200, message: '', data: [] });
    expect(decodeJwt(answer.body.data.access_token)).toEqual({
      iss: 'olares-secret-provider',
      aud: 'secret.infisical/v1',
      sub: 'otmoiclp',
      user: 'alice',
      ops: [LIST],
      jti: expect.any(String),
      iat: nowS(),
      exp: nowS() + 300,
    });
  });

  it('issues a token for the requested ops and no other', async () => {
    const { access_token: token } = (await request()).body.data;
    const refused = await use(token, 'RetrieveSecret?workspace=otmoic');
    expect([refused.status, refused.body.data.reason]).toEqual([403, 'NOT_GRANTED']);
    expect(refused.body.message).toContain('was not issued for RetrieveSecret?workspace=otmoic');
  });

  it('issues a token that is valid after a restart and on a second replica', async () => {
    const { access_token: token } = (await request()).body.data;
    const replica = await startService({ clock, store, grantSource: grants });
    const headers = { 'x-authorization': await userToken('alice', clock.nowMs()), 'x-access-token': token };
    const answer = await httpCall(`${replica.url}/${LIST}`, { headers, body: {} });
    await replica.close();
    expect(answer.status).toBe(200);
  });

  it('issues a token that expires after five minutes', async () => {
    const { access_token: token } = (await request()).body.data;
    clock.advance(299_000);
    expect((await use(token)).status).toBe(200);
    clock.advance(2_000);
    expect((await use(token)).status).toBe(401);
  });

  it("ignores the fields that today's clients send beside the documented ones", async () => {
    expect((await request({ perm: { ...PERM, appKey: '', svc: '' }, nonce: 'x' })).body.code).toBe(0);
  });

  it.each([
    ['hashes of $2a$ (Go)', '$2a$'],
    ['hashes of $2y$ (PHP)', '$2y$'],
  ])('takes %s', async (_title, prefix) => {
    const token = (await proof()).replace('$2b$', prefix);
    expect((await request({ token })).body.code).toBe(0);
  });

  it('refuses a used hash a second time, also with its version letter changed', async () => {
    const token = await proof();
    expect((await request({ token })).body.code).toBe(0);
    for (const again of [token, token.replace('$2b$', '$2a$'), token.replace('$2b$', '$2y$')]) {
      expect((await request({ token: again })).body).toEqual(REFUSED);
    }
  });

  it('lets one of two simultaneous uses of a hash through', async () => {
    const token = await proof();
    const answers = await Promise.all(Array.from({ length: 4 }, () => request({ token })));
    expect(answers.map((a) => a.body.code).sort()).toEqual([0, 100001, 100001, 100001]);
  });

  it.each([-10, 10])('accepts a clock that is %i s off', async (offset) => {
    const timestamp = nowS() + offset;
    expect((await request({ timestamp, token: await proof(OTMOICLP, timestamp) })).body.code).toBe(0);
  });

  it('answers one fixed text for every failed proof', async () => {
    const late = nowS() - 11;
    const early = nowS() + 11;
    for (const wrong of [
      { timestamp: late, token: await proof(OTMOICLP, late) },
      { timestamp: early, token: await proof(OTMOICLP, early) },
      { token: await proof({ ...OTMOICLP, appSecret: 'wrong' }) },
      { token: await proof(READER) },
      { app_key: 'bytetrade_nobody_1' },
      { token: 'garbage' },
      { token: '$2b$10$short' },
      { token: (await proof()).slice(0, -1) },
      { token: `${await proof()}x` },
    ]) {
      const answer = await request(wrong);
      expect([answer.status, answer.body]).toEqual([200, REFUSED]);
    }
  });

  it('computes no hash of another cost than 10: a cost of 31 would take days', async () => {
    const began = Date.now();
    const token = (await proof()).replace('$10$', '$31$');
    expect((await request({ token })).body).toEqual(REFUSED);
    expect(Date.now() - began).toBeLessThan(2000);
  });

  it('refuses where bcrypt would read fewer than 16 bytes of the secret', async () => {
    const withKeyOf = (length: number) => ({
      ...OTMOICLP,
      app: `key${length}`,
      user: 'carol',
      appKey: 'k'.repeat(length),
    });
    grants.set([...EXAMPLE_APPS, withKeyOf(46), withKeyOf(47)]);
    // 72 - 10 digits of time - 16 of the secret = 46.
    const ask = async (length: number): Promise<Answer> =>
      request({ app_key: 'k'.repeat(length), token: await proof(withKeyOf(length)) });
    expect((await ask(46)).body.code).toBe(0);
    expect((await ask(47)).body).toEqual(REFUSED);
    grants.set(EXAMPLE_APPS);
  });

  it('grants all requested ops or none', async () => {
    const ask = async (perm: object): Promise<unknown> => {
      clock.advance(1000);
      const answer = await request({
        app_key: READER.appKey,
        token: await proof(READER),
        perm: { ...PERM, ...perm },
      });
      return answer.body;
    };
    const refused = (why: string) => ({ code: 1, message: `permission required is not allowed: ${why}` });
    expect(await ask({ ops: ['RetrieveSecret?workspace=otmoic'] })).toMatchObject({ code: 0 });
    expect(await ask({ ops: ['RetrieveSecret?workspace=otmoic', LIST] })).toEqual(
      refused(`app reader has no grant for ${LIST}`),
    );
    expect(await ask({ ops: ['RetrieveSecret'] })).toEqual(
      refused('app reader has no grant for RetrieveSecret'),
    );
    expect(await ask({ ops: [] })).toEqual(refused('ops is empty'));
    expect(await ask({ ops: ['Nonsense'] })).toEqual(refused('app reader has no grant for Nonsense'));
    expect(await ask({ group: 'other' })).toEqual(refused('group must be secret.infisical'));
    expect(await ask({ dataType: 'key' })).toEqual(refused('dataType must be secret'));
    expect(await ask({ version: 'v2' })).toEqual(refused('version must be v1'));
  });

  it('reads a bare op as one for the workspace named like the app', async () => {
    const bare = {
      app: 'notes',
      user: 'alice',
      appKey: 'bytetrade_notes_1',
      appSecret: '0'.repeat(16),
      ops: ['ListSecret'],
    };
    grants.set([...EXAMPLE_APPS, bare]);
    const answer = await request({
      app_key: bare.appKey,
      token: await proof(bare),
      perm: { ...PERM, ops: ['ListSecret'] },
    });
    const { access_token: token } = answer.body.data;
    expect((await use(token, 'ListSecret?workspace=notes')).status).toBe(200);
    expect((await use(token, LIST)).status).toBe(403);
    grants.set(EXAMPLE_APPS);
  });

  it.each([
    ['no body', undefined],
    ['an empty object', {}],
    ['a timestamp as text', { app_key: 'k', timestamp: '1', token: 't', perm: PERM }],
    ['a broken number as timestamp', { app_key: 'k', timestamp: 1.5, token: 't', perm: PERM }],
    ['an object as key', { app_key: {}, timestamp: 1, token: 't', perm: PERM }],
    ['no perm', { app_key: 'k', timestamp: 1, token: 't' }],
    ['ops that are no texts', { app_key: 'k', timestamp: 1, token: 't', perm: { ...PERM, ops: [1] } }],
    ['a token of 60 KB', { app_key: 'k', timestamp: 1, token: 't'.repeat(6e4), perm: PERM }],
  ])('refuses a malformed request: %s', async (_title, body) => {
    const answer = await access(body);
    expect([answer.status, answer.body]).toEqual([
      200,
      { code: 1, message: 'the request is not of the form {app_key, timestamp, token, perm}' },
    ]);
  });

  it('refuses more ops than one request may have, and says so', async () => {
    const ops = (count: number) => ({ ...PERM, ops: Array(count).fill(LIST) as string[] });
    const answer = await access({ app_key: 'k', timestamp: 1, token: 't', perm: ops(65) });
    expect([answer.status, answer.body.code, answer.body.message]).toEqual([
      200,
      1,
      expect.stringMatching(/^the request has more than 64 ops; /),
    ]);
    expect((await access({ app_key: 'k', timestamp: 1, token: 't', perm: ops(64) })).body.code).toBe(100001);
  });

  it('keeps the event loop free while hashes are computed', async () => {
    const proofs = await Promise.all(Array.from({ length: 6 }, () => proof()));
    const before = performance.eventLoopUtilization();
    const answers = await Promise.all(proofs.map((token) => request({ token })));
    expect(answers.map((answer) => answer.body.code)).toEqual([0, 0, 0, 0, 0, 0]);
    // On the loop, six hashes would fill it.
    expect(performance.eventLoopUtilization(before).utilization).toBeLessThan(0.5);
  });

  const WRONG = `$2b$10$${'a'.repeat(22)}${'b'.repeat(31)}`;
  /** All of an answer but what is another one each time. */
  const seenOf = ({ status, headers, body }: Answer) => {
    const { date: _date, 'x-request-id': _id, ...kept } = headers;
    return { status, headers: kept, body: { ...body, data: { ...body.data, requestId: undefined } } };
  };

  it('answers the same for known and unknown keys, at whichever step it refuses', async () => {
    const used = await proof();
    await request({ token: used });
    for (const sent of [
      { token: WRONG },
      { token: used },
      { token: 'x' },
      { timestamp: nowS() - 11 },
      { token: WRONG.replace('$10$', '$31$') },
    ]) {
      const [known, unknown] = [await request(sent), await request({ ...sent, app_key: 'bytetrade_nobody_12345678' })];
      expect(seenOf(known)).toEqual(seenOf(unknown));
      expect(known.body).toEqual(REFUSED);
    }
  }); // prettier-ignore

  it('takes equally long for a used hash, a wrong one and an unknown key', async () => {
    const used = await proof();
    await request({ token: used });
    for (const sent of [{ token: used }, { token: WRONG }, { app_key: 'nobody', token: used }]) {
      const beganMs = performance.now();
      expect((await request(sent)).body).toEqual(REFUSED);
      // No machine computes a hash in less; without one, an answer takes a few.
      expect(performance.now() - beganMs).toBeGreaterThan(15);
    }
  });

  describe('while other addresses flood with proofs', () => {
    let flooded: Service;
    // Time stands still, so that on a slow machine too nobody is refused for having waited.
    beforeAll(async () => {
      flooded = await startService({
        clock,
        store,
        grantSource: grants,
        time: new FixedMonotonicTime(),
        connectionBounds: UNLIMITED_CONNECTIONS,
      });
    });
    afterAll(async () => flooded.close());

    const send = async (from: string, app_key: string, token: string): Promise<Answer> =>
      httpCall(`${flooded.url}/permission/v1alpha1/access`, {
        body: { app_key, timestamp: nowS(), token, perm: PERM },
        from,
      });

    it('accepts each valid proof of an app whose own key is flooded', async () => {
      const tokens = await Promise.all(Array.from({ length: 5 }, () => proof()));
      const told: string[] = [];
      const flood = Array.from({ length: 320 }, async (_, i) => {
        const key = i % 8 < 4 ? OTMOICLP.appKey : `nobody_${i}`;
        const { status, body } = await send(`127.0.1.${i % 4}`, key, WRONG);
        told.push(`${status} ${body.code}`);
      });
      // Of each address 64 wait at most, of all 128.
      await eventually(() => expect(told.length).toBeGreaterThan(150));
      const own = await Promise.all(tokens.map((token) => send('127.0.0.1', OTMOICLP.appKey, token)));
      expect(own.map(({ body }) => body.code)).toEqual(Array(5).fill(0));
      expect(new Set(told)).toEqual(new Set(['429 429', '200 100001']));
      void Promise.allSettled(flood);
    });

    it('refuses known and unknown keys alike where the queue is full', async () => {
      const refused: Answer[] = [];
      const flood = Array.from({ length: 160 }, async (_, i) => {
        const answer = await send('127.0.1.9', i % 2 ? OTMOICLP.appKey : `nobody_${i}`, WRONG);
        if (answer.status === 429) refused.push(answer);
      });
      await eventually(() => expect(refused.length).toBeGreaterThan(80));
      const [first, ...others] = refused.map(seenOf);
      expect(others.filter((one) => JSON.stringify(one) !== JSON.stringify(first))).toEqual([]);
      expect(first?.headers['retry-after']).toBe('1');
      void Promise.allSettled(flood);
    });
  });

  it('writes neither proof nor secret into the log', async () => {
    const token = await proof();
    await request({ token });
    await request({ token });
    for (const text of [token, OTMOICLP.appSecret, OTMOICLP.appKey])
      expect(service.log()).not.toContain(text);
  });
});
