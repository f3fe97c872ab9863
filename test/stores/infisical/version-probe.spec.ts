import { outcome } from '../../conformance/secret-store.conformance';
import type { AnswerFault } from '../../support/fake-infisical/fake-faults';
import { recordings } from '../../support/fake-infisical/recordings';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, rowsOf, type Opened } from './opened-store';

const answer = (status: number, body: unknown, raw?: string): AnswerFault => ({
  kind: 'answer',
  status,
  body,
  ...(raw !== undefined && { raw }),
});

describe.each(['v3', 'fork', 'v4'] as const)('a store that was not told its server (%s)', (apiVersion) => {
  let opened: Opened;
  const probes = () => opened.fake.calls.filter(({ target, bearer }) => !bearer && !/login/.test(target));
  const met = () => opened.logged.filter(({ event }) => event === 'infisical_api_version_detected');
  beforeEach(async () => {
    opened = await openStore({ apiVersion }, { apiVersion: undefined });
  });

  it('is detected once, at the first call, and logged', async () => {
    const { fake, store } = opened;
    expect(fake.calls).toEqual([]);
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.list(at(`ws${i}`))));
    await store.create(at(), { name: 'k', value: 'v' });
    await store.ping();
    const asked = probes().map(({ method, target }) => `${method} ${target}`);
    const older = 'GET /api/v2/organizations/00000000-0000-0000-0000-000000000000/workspaces';
    expect(asked).toEqual(apiVersion === 'v4' ? ['GET /api/v4/secrets'] : ['GET /api/v4/secrets', older]);
    expect(met()).toEqual([{ event: 'infisical_api_version_detected', fields: { apiVersion } }]);
  });

  it.each([
    ['the connection is reset', { kind: 'reset', when: 'before' }],
    ['the server migrates', answer(503, { error: 'Service Unavailable', message: 'migrating' })],
    ['a proxy answers', answer(502, null, '<html>')],
    ['a proxy has no such host', answer(404, null, '<html>')],
    ['a proxy wants its own login', answer(401, null, '<html>')],
    ['a page is served', answer(200, null, '<html>')],
    ['something else answers', answer(200, { secrets: [] })],
    ['the server fails', answer(500, { error: 'Find one', message: 'Something went wrong' })],
    [
      'the server limits us',
      { kind: 'answer', status: 429, body: { error: 'RateLimitExceeded' }, headers: { 'retry-after': '0' } },
    ],
  ] as const)('is unavailable while it cannot find out, and tries again: %s', async (_title, fault) => {
    const { fake, store } = opened;
    fake.fail({ method: 'GET', times: 99, fault });
    const failed = await outcome(store.list(at()));
    expect(['STORE_UNAVAILABLE', 'TOO_MANY_REQUESTS']).toContain(failed);
    expect(await outcome(store.create(at(), { name: 'k', value: 'v' }))).toBe(failed);
    expect(fake.count('POST')).toBe(0);
    expect(met()).toEqual([]);
    fake.heal();
    await store.create(at(), { name: 'k', value: 'v' });
    expect(met()).toHaveLength(1);
  });

  it('waits no longer than its deadline when nothing answers', async () => {
    opened.fake.fail({ times: 99, fault: { kind: 'hang', when: 'before' } });
    const hasty = opened.another({ operationTimeoutMs: 200, requestTimeoutMs: 5_000, apiVersion: undefined });
    const started = performance.now();
    expect(await outcome(hasty.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe('a server that is replaced while we run', () => {
  it.each([
    ['v3', 'v4'],
    ['fork', 'v4'],
    ['v4', 'v3'],
  ] as const)('from %s to %s is met by the first call, a write included', async (before, after) => {
    const { fake, store, logged } = await openStore({ apiVersion: before }, { apiVersion: undefined });
    await store.create(at(), { name: 'k', value: 'v' });
    fake.become(after);
    await store.update(at(), { name: 'k', value: 'w' });
    expect(rowsOf(fake, at())).toEqual([['k', 'w']]);
    expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'w' });
    expect(logged.at(-1)).toEqual({ event: 'infisical_api_version_detected', fields: { apiVersion: after } });
  });

  const GENERATIONS = ['fork', 'v3', 'v4'] as const;
  const REPLACEMENTS = GENERATIONS.flatMap((before) =>
    GENERATIONS.filter((after) => after !== before).map((after) => [before, after] as const),
  );
  const DEATHS = ['expired', 'malformed', 'badSignature', 'unknown', 'usesUp'] as const;

  describe.each(REPLACEMENTS)('from %s to %s', (before, after) => {
    it.each(DEATHS)('is met by the first call where the token died with the old one (%s)', async (death) => {
      for (const write of [false, true]) {
        const { fake, store } = await openStore({ apiVersion: before }, { apiVersion: undefined });
        await store.create(at(), { name: 'k', value: 'v' });
        fake.become(after);
        fake.killTokens(death);
        if (write) await store.update(at(), { name: 'k', value: 'w' });
        expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: write ? 'w' : 'v' });
        expect(rowsOf(fake, at())).toEqual([['k', write ? 'w' : 'v']]);
      }
    });

    it('is detected at the first refusal, which is classified by the rules of the new version', async () => {
      const { fake, store } = await openStore({ apiVersion: before }, { apiVersion: undefined });
      await store.create(at(), { name: 'k', value: 'v' });
      await store.list(at());
      fake.become(after);
      expect(await outcome(store.update(at(), { name: 'missing', value: 'w' }))).toBe('SECRET_NOT_FOUND');
    });
  });

  it('is not detected again with every call where a right is missing permanently', async () => {
    const clock = new FixedClock();
    const { fake, store } = await openStore({ apiVersion: 'v4' }, { apiVersion: undefined }, clock);
    await store.create(at(), { name: 'k', value: 'v' });
    // Bare as this, v4 could mean a right and the fork a dead token.
    const body = { statusCode: 403, error: 'UnauthorizedError', message: 'x' };
    fake.fail({ method: 'PATCH', times: 99, fault: answer(403, body) });
    const probes = () => fake.calls.filter(({ target }) => target === '/api/v4/secrets').length;
    const before = probes();
    for (let i = 0; i < 5; i++)
      expect(await outcome(store.update(at(), { name: 'k', value: 'w' }))).toBe('STORE_UNAVAILABLE');
    expect(probes() - before).toBe(1);
    clock.advance(60_001);
    await outcome(store.update(at(), { name: 'k', value: 'w' }));
    expect(probes() - before).toBe(2);
  });

  describe('while its version cannot be detected', () => {
    const STRANGE = answer(418, { statusCode: 418, error: 'Teapot', message: 'x' });
    const PROBE = '/api/v2/organizations/{orgId}/workspaces';

    it('is not probed with every call either', async () => {
      const clock = new FixedClock();
      const { fake, store } = await openStore({ apiVersion: 'v3' }, { apiVersion: undefined }, clock);
      await store.create(at(), { name: 'k', value: 'v' });
      fake.fail({ method: 'GET', template: '/api/v3/secrets/raw', times: 99, fault: STRANGE });
      fake.fail({ method: 'GET', template: PROBE, times: 99, fault: answer(503, null, '<html>') });
      const before = fake.count('GET', PROBE);
      for (let i = 0; i < 5; i++) expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
      expect(fake.count('GET', PROBE) - before).toBe(1);
      clock.advance(5_001);
      await outcome(store.list(at()));
      expect(fake.count('GET', PROBE) - before).toBe(2);
    });

    it('a write with an unexpected answer is verified all the same', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v3' }, { apiVersion: undefined });
      await store.create(at(), { name: 'k', value: 'v' });
      fake.fail({ method: 'POST', fault: { ...STRANGE, when: 'after' } });
      fake.fail({ method: 'GET', template: PROBE, times: 99, fault: answer(503, null, '<html>') });
      await store.create(at(), { name: 'l', value: 'w' });
      expect(rowsOf(fake, at())).toHaveLength(2);
    });
  });

  it('is not detected again with every call where a route is missing permanently', async () => {
    const clock = new FixedClock();
    const { fake, store } = await openStore({ apiVersion: 'v3' }, { apiVersion: undefined }, clock);
    await store.list(at());
    const body = { message: 'Route GET:/x not found', error: 'Not Found', statusCode: 404 };
    const failing = () =>
      fake.fail({
        method: 'GET',
        template: '/api/v2/workspace/{slug}',
        times: 99,
        fault: answer(404, body),
      });
    failing();
    const probes = () => fake.calls.filter(({ target }) => target === '/api/v4/secrets').length;
    for (let i = 0; i < 5; i++) expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(probes()).toBe(2);
    clock.advance(60_001);
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(probes()).toBe(3);
  });
});

it.each([401, 403])(
  'a second probe that something in front refuses with %d decides nothing',
  async (status) => {
    const { fake, store, logged } = await openStore({ apiVersion: 'fork' }, { apiVersion: undefined });
    const template = '/api/v2/organizations/{orgId}/workspaces';
    for (const fault of [
      answer(status, null, '<html>'),
      answer(status, { statusCode: status, error: 'Forbidden', message: 'by the proxy' }),
    ]) {
      fake.fail({ method: 'GET', template, times: 1, fault });
      expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    }
    expect(logged.filter(({ event }) => event === 'infisical_api_version_detected')).toEqual([]);
    expect(await store.list(at())).toEqual([]);
  },
);

it.each(['v3', 'fork'] as const)('the probes are answered as %s was recorded', (apiVersion) => {
  const [organization] = recordings(apiVersion).filter(({ name }) => name === 'bearer missing');
  const [unknown] = recordings(apiVersion).filter(({ name }) => /unknown route: first answer/.test(name));
  expect(organization).toMatchObject({
    bearer: false,
    status: apiVersion === 'v3' ? 401 : 403,
    answer: {
      message: 'Token missing',
      error: apiVersion === 'v3' ? 'UnauthorizedError' : 'Unauthorized access',
    },
  });
  expect(unknown).toMatchObject({ status: 404, answer: { error: 'Not Found' } });
});
