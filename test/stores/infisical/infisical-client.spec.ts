import { StoreClient } from '../../support/store-client';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { InfisicalCallFailed } from '../../../src/stores/infisical/versions/infisical-call-failed';
import {
  InfisicalClient,
  type TransportRequest,
} from '../../../src/stores/infisical/transport/infisical-client';
import { SystemClock } from '../../../src/time/clock';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { UpstreamRateLimits } from '../../../src/stores/infisical/transport/upstream-rate-limits';
import { baseOf } from '../../../src/stores/infisical/transport/transport-route';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import type { Fault } from '../../support/fake-infisical/fake-faults';

const REQUEST: TransportRequest = {
  call: 'createSecret',
  method: 'POST',
  pathTemplate: '/api/v3/secrets/raw/{name}',
  target: '/api/v3/secrets/raw/canary-name',
  body: { secretValue: 'canary-value' },
  bearer: 'canary-token',
  timeoutMs: 400,
};

describe('a call that got no whole answer', () => {
  let fake: FakeInfisical;
  let client: InfisicalClient;
  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    const limits = new UpstreamRateLimits(new SystemClock());
    client = new InfisicalClient({ url: fake.url, maxConnections: 4, maxAnswerBytes: 1_000 }, limits);
  });
  afterEach(async () => {
    client.close();
    await fake.close();
  });
  const failureOf = (more: Partial<TransportRequest> = {}) =>
    client.send({ ...REQUEST, ...more }).then(
      () => 'answered',
      (error: unknown) => error,
    );

  it.each([
    ['connectionLost', { kind: 'reset', when: 'before' }],
    ['connectionLost', { kind: 'truncate', when: 'after' }],
    ['timedOut', { kind: 'hang', when: 'before' }],
    ['answerTooLarge', { kind: 'answer', status: 200, body: 'x'.repeat(2_000) }],
  ] as const)(
    'keeps the call, its template and its reason, and nothing else: %s',
    async (reason, fault: Fault) => {
      fake.fail({ fault });
      const error = await failureOf();
      expect(error).toBeInstanceOf(InfisicalCallFailed);
      expect({ ...(error as InfisicalCallFailed) }).toEqual({
        name: 'InfisicalCallFailed',
        call: 'createSecret',
        method: 'POST',
        pathTemplate: '/api/v3/secrets/raw/{name}',
        reason,
        status: undefined,
        retryAfterMs: undefined,
      });
      expect(`${inspect(error, { depth: 12, showHidden: true })} ${JSON.stringify(error)}`).not.toMatch(
        /canary|axios/i,
      );
    },
  );

  it('is not in doubt where it never got a connection, since all were taken', async () => {
    fake.fail({ times: 4, fault: { kind: 'hang', when: 'before' } });
    const reads = { method: 'GET', call: 'listSecrets', timeoutMs: 2_000 } as const;
    const hung = Array.from({ length: 4 }, () => failureOf(reads));
    expect(await failureOf({ timeoutMs: 100 })).toMatchObject({ reason: 'outOfTime' });
    expect(await failureOf({ ...reads, timeoutMs: 100 })).toMatchObject({ reason: 'timedOut' });
    expect(await Promise.all(hung)).toEqual(Array(4).fill(expect.objectContaining({ reason: 'timedOut' })));
    expect(fake.calls).toHaveLength(4);
  });

  it('is told apart when it could never be sent', async () => {
    await fake.close();
    expect(await failureOf()).toMatchObject({ reason: 'unreachable' });
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
  });

  it('is not even tried with a body beyond the servers’ limit', async () => {
    expect(await failureOf({ body: { secretValue: 'x'.repeat(1_048_576) } })).toMatchObject({
      reason: 'tooLarge',
    });
    expect(fake.calls).toEqual([]);
  });

  it('is an answer all the same when it is a refusal, a redirect or a page', async () => {
    for (const status of [204, 302, 404, 500]) {
      fake.fail({ fault: { kind: 'answer', status, body: null, raw: status === 204 ? '' : '<html>' } });
      expect(await client.send(REQUEST)).toEqual({ status, body: undefined });
    }
  });

  it('tells how long a limited caller must wait', async () => {
    const limited = async (headers: Record<string, string>) => {
      fake.fail({ fault: { kind: 'answer', status: 429, body: {}, headers } });
      // A client for each: a refusal keeps all later calls of its route away.
      const fresh = new InfisicalClient(
        { url: fake.url, maxConnections: 4, maxAnswerBytes: 1_000 },
        new UpstreamRateLimits(new SystemClock()),
      );
      return (await fresh.send(REQUEST).finally(() => fresh.close())).retryAfterMs;
    };
    expect(await limited({ 'retry-after': '59' })).toBe(59_000);
    expect(await limited({ 'x-ratelimit-reset': '12' })).toBe(12_000);
    expect(await limited({ 'retry-after': 'soon' })).toBeUndefined();
    expect(await limited({})).toBeUndefined();
  });
});

describe('a server that compresses, though it was not asked to', () => {
  it('has its answer unpacked by nobody: what that takes is what came over the wire', async () => {
    const asked: unknown[] = [];
    const packed = gzipSync('{"secrets":[]}');
    const server = createServer(({ headers }, answer) => {
      asked.push(headers);
      answer.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(packed);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const limits = new UpstreamRateLimits(new SystemClock());
    const client = new InfisicalClient({ url, maxConnections: 1, maxAnswerBytes: 1_000 }, limits);
    const answer = await client.send(REQUEST).finally(() => {
      client.close();
      server.close();
    });
    expect(answer).toEqual({ status: 200, body: undefined });
    // All that is ever sent: above all, no address of a caller's.
    expect(asked).toEqual([
      {
        host: new URL(url).host,
        connection: 'keep-alive',
        accept: 'application/json',
        'accept-encoding': 'identity',
        authorization: 'Bearer canary-token',
        'content-type': 'application/json',
        'content-length': '30',
        'user-agent': 'olares-secret-provider',
      },
    ]);
  });
});

describe('the address of Infisical', () => {
  it.each(['', '/', '/api', '/api/', '/api/v3'])(
    'is taken with "%s" at its end, as its own samples have it',
    async (end) => {
      const fake = await FakeInfisical.start({ apiVersion: 'v3' });
      const { clientId, clientSecret } = fake.identity;
      const options = { url: fake.url + end, clientId, clientSecret };
      const store = new StoreClient(createInfisicalSecretStore(options, new SystemClock()));
      try {
        await store.ping();
        const scope = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
        await store.create(scope, { name: 'k', value: 'v' });
        expect(await store.list(scope)).toEqual([{ name: 'k', value: 'v' }]);
        expect(fake.calls.filter(({ template }) => template?.startsWith('/api/api'))).toEqual([]);
      } finally {
        await store.close();
        await fake.close();
      }
    },
  );

  it.each([
    ['https://shared.example/infisical/api', 'https://shared.example/infisical'],
    ['https://shared.example/myapi', 'https://shared.example/myapi'],
    ['https://shared.example/api/infisical', 'https://shared.example/api/infisical'],
  ])('keeps every other path: %s', (url, base) => {
    expect(baseOf(url)).toBe(base);
  });
});
