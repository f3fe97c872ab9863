import { StoreClient } from '../../support/store-client';
import { createServer } from 'node:http';
import { performance } from 'node:perf_hooks';
import { SystemClock } from '../../../src/time/clock';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { outcome } from '../../conformance/secret-store.conformance';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, ROUTES, type Opened } from './opened-store';

const answer = (status: number, body: unknown, more: Partial<Fault & { kind: 'answer' }> = {}): Fault => ({
  kind: 'answer',
  status,
  body,
  ...more,
});

describe('a read', () => {
  let opened: Opened;
  beforeEach(async () => {
    opened = await openStore({ apiVersion: 'v3' });
    await opened.store.create(at(), { name: 'k', value: 'v' });
    opened.fake.calls.splice(0);
  });
  const retrieve = () => outcome(opened.store.retrieve(at(), 'k'));
  const failLists = (fault: Fault, times = 1) =>
    opened.fake.fail({ method: 'GET', template: ROUTES.list, times, fault });

  it('is not sent again after a refusal of the request itself', async () => {
    failLists(answer(401, { error: 'ValidationFailure', message: [{ code: 'custom' }] }), 99);
    expect(await retrieve()).toBe('STORE_UNAVAILABLE');
    expect(opened.fake.count('GET', ROUTES.list)).toBe(1);
  });

  it('never gives a hidden value for a secret', async () => {
    const row = { id: 'i', version: 1, secretKey: 'k' };
    for (const more of [
      { secretValue: 'x', secretValueHidden: true },
      { secretValueHidden: true },
      { secretValue: '******' },
    ]) {
      failLists(answer(200, { secrets: [{ ...row, ...more }] }));
      expect(await retrieve()).toBe('STORE_UNAVAILABLE');
    }
  });

  it('waiting writes end too when the server hangs', async () => {
    const hasty = opened.another({ operationTimeoutMs: 500 });
    opened.fake.fail({ times: 99, fault: { kind: 'hang', when: 'before' } });
    const started = performance.now();
    const writes = Array.from({ length: 5 }, (_, i) =>
      outcome(hasty.create(at(), { name: `w${i}`, value: 'v' })),
    );
    expect(new Set(await Promise.all(writes))).toEqual(new Set(['STORE_UNAVAILABLE']));
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe('the address of Infisical', () => {
  const store = (url: string) =>
    new StoreClient(createInfisicalSecretStore({ url, clientId: 'c', clientSecret: 's' }, new SystemClock()));

  it.each(['ftp://host', 'nonsense', '', 'http://user:secret@host', 'http://host/?token=secret', '//host'])(
    'is refused without being repeated: %s',
    (url) => {
      expect(() => store(url)).toThrow(
        'The address of Infisical must be an http or https URL without credentials or query.',
      );
    },
  );

  it('may have a path in front', async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(404).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const opened = store(`http://127.0.0.1:${port}/vault/`);
    await outcome(opened.list(at()));
    expect(asked).toEqual(['/vault/api/v4/secrets']);
    await opened.close();
    server.closeAllConnections();
    server.close();
  });

  it('where nobody listens is unavailable, for writes too, and nothing was changed', async () => {
    const opened = store('http://127.0.0.1:1');
    expect(await outcome(opened.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(opened.create(at(), { name: 'k', value: 'v' }))).toBe('STORE_UNAVAILABLE');
    await expect(opened.ping()).rejects.toMatchObject({ message: 'Infisical does not answer.' });
  });
});

describe.each(['v3', 'fork'] as const)('a ping (%s)', (apiVersion) => {
  let clock: FixedClock;
  let opened: Opened;
  beforeEach(async () => {
    clock = new FixedClock();
    opened = await openStore({ apiVersion }, {}, clock);
  });
  const databaseDown = answer(500, {
    statusCode: 500,
    message: 'Something went wrong',
    error: 'IdAccessTokenFindOne',
  });

  it('asks once for many, and again after 5 s', async () => {
    await Promise.all(Array.from({ length: 20 }, () => opened.store.ping()));
    await opened.store.ping();
    expect(opened.fake.count('GET', ROUTES.ping)).toBe(1);
    clock.advance(5_000);
    await opened.store.ping();
    expect(opened.fake.count('GET', ROUTES.ping)).toBe(2);
  });

  it('fails while the database is down, and says so in words for an operator', async () => {
    opened.fake.fail({ method: 'GET', template: ROUTES.ping, times: 99, fault: databaseDown });
    const message = 'Infisical answers, but not as it should (serverFailure, status 500).';
    await expect(opened.store.ping()).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE', message });
    opened.fake.heal();
    await expect(opened.store.ping()).rejects.toMatchObject({ message });
    clock.advance(5_000);
    await opened.store.ping();
  });

  it('replaces a dead token', async () => {
    await opened.store.ping();
    opened.fake.killTokens('unknown');
    clock.advance(5_000);
    await opened.store.ping();
  });
});
