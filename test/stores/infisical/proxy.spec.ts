import { inspect } from 'node:util';
import { proxySetting } from '../../../src/config/store-settings';
import { SystemClock } from '../../../src/time/clock';
import { StoreUnavailable } from '../../../src/errors/store-errors';
import type { InfisicalCallFailed } from '../../../src/stores/infisical/versions/infisical-call-failed';
import { InfisicalClient } from '../../../src/stores/infisical/transport/infisical-client';
import { UpstreamRateLimits } from '../../../src/stores/infisical/transport/upstream-rate-limits';
import { TestAuthority } from '../../support/certificates';
import { eventually } from '../../support/eventually';
import { FakeProxy } from '../../support/fake-proxy';
import { TlsFront } from '../../support/tls-front';
import { at, openStore, ROUTES } from './opened-store';

const authority = new TestAuthority();
/** A name that only the proxy can look up. */
const HOST = 'infisical.test';
const identity = authority.certificateFor(HOST);
const AUTHORITIES = [authority.cert];
const PASSWORD = 'canary-p@ss:word';
const USER_INFO = `proxy-user:${encodeURIComponent(PASSWORD)}`;
const BASIC = `Basic ${Buffer.from(`proxy-user:${PASSWORD}`).toString('base64')}`;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function behindProxy(options: Parameters<typeof openStore>[1] = {}, shown = identity) {
  const opened = await openStore({ apiVersion: 'v3' });
  const front = await TlsFront.start(shown, opened.fake.url);
  const proxy = await FakeProxy.start();
  closing.push(
    () => front.close(),
    () => proxy.close(),
  );
  const url = `https://${HOST}:${front.port}`;
  const proxyUrl = `http://${USER_INFO}@127.0.0.1:${proxy.port}`;
  const reach = { url, proxyUrl, authorities: () => AUTHORITIES };
  const store = opened.another({ ...reach, ...options });
  return { ...opened, store, front, proxy, target: `${HOST}:${front.port}`, reach };
}

describe('an https Infisical behind a proxy', () => {
  it('is used through one tunnel that is kept open, whose proxy sees neither path nor token', async () => {
    const { store, proxy, front, target, fake } = await behindProxy();
    await store.create(at(), { name: 'n', value: 'v'.repeat(300_000) });
    expect((await store.retrieve(at(), 'n')).value).toHaveLength(300_000);
    expect(proxy.tunnels).toEqual([target]);
    expect(proxy.credentials).toEqual([BASIC]);
    expect(proxy.seen.join()).not.toMatch(/bearer|api\/|secret/i);
    expect([front.accepted, proxy.forwarded]).toEqual([1, []]);
    expect(fake.calls.length).toBeGreaterThan(5);
    await store.close();
    await eventually(() => expect(proxy.open).toBe(0));
  });

  it('is asked through as many tunnels as there may be connections, and no more', async () => {
    const { store, proxy, front } = await behindProxy({ maxConnections: 3 });
    await store.create(at(), { name: 'n', value: 'v' });
    await Promise.all(Array.from({ length: 30 }, () => store.retrieve(at(), 'n')));
    expect(front.accepted).toBe(3);
    expect([proxy.tunnels.length, proxy.mostOpen]).toEqual([3, 3]);
  });

  it('is verified end to end: by its own name, whatever the proxy is called', async () => {
    const shown = authority.certificateFor('127.0.0.1');
    const { store, proxy, logged, fake } = await behindProxy({}, shown);
    await expect(store.retrieve(at(), 'n')).rejects.toEqual(new StoreUnavailable());
    expect(logged.map(({ fields }) => fields['reason'])).toEqual(['certificate:wrongHost']);
    expect([proxy.tunnels.length, fake.calls]).toEqual([1, []]);
  });

  it('may be behind a proxy that speaks TLS itself, and is verified too', async () => {
    const { another, reach, logged } = await behindProxy();
    const good = await FakeProxy.start(authority.certificateFor('localhost'));
    const bad = await FakeProxy.start(authority.certificateFor('other.example'));
    closing.push(
      () => good.close(),
      () => bad.close(),
    );
    const through = (port: number) =>
      another({ ...reach, proxyUrl: `https://${USER_INFO}@localhost:${port}` });
    expect(await through(good.port).list(at())).toEqual([]);
    expect(good.tunnels).toHaveLength(1);
    await expect(through(bad.port).list(at())).rejects.toEqual(new StoreUnavailable());
    expect([logged.at(-1)?.fields['reason'], bad.tunnels]).toEqual(['certificate:wrongHost', []]);
  });

  const OUT = 'The proxy of HTTPS_PROXY does not answer, or does not reach Infisical.';
  const REFUSES =
    'The proxy of HTTPS_PROXY or HTTP_PROXY refuses our requests; are its user and password right?';
  it.each([
    [407, 'proxyRefused', REFUSES],
    [403, 'proxyRefused', REFUSES],
    [502, 'proxyFailed', OUT],
    ['reset', 'proxyFailed', OUT],
    ['hang', 'proxyFailed', OUT],
  ] as const)(
    'whose proxy answers %s is not available, soon and for that reason',
    async (manner, reason, words) => {
      const limits = { operationTimeoutMs: 6_000, requestTimeoutMs: 4_000, tunnelTimeoutMs: 800 };
      const { store, proxy, logged, fake } = await behindProxy(limits);
      proxy.manner = manner;
      const startedAtMs = Date.now();
      const created = ['a', 'b', 'c'].map((workspace) =>
        store.create(at(workspace), { name: 'n', value: 'canary' }).catch((error: unknown) => error),
      );
      const errors = await Promise.all(created);
      expect(Date.now() - startedAtMs).toBeLessThan(7_000);
      // What the proxy may do better next time is tried again, what it will refuse again is not.
      expect(Math.min(proxy.tunnels.length, 3)).toBe(reason === 'proxyRefused' ? 1 : 3);
      expect(proxy.tunnels.length).toBeLessThan(10);
      expect(errors).toEqual(errors.map(() => new StoreUnavailable()));
      expect(new Set(logged.map(({ fields }) => fields['reason']))).toEqual(new Set([reason]));
      await expect(store.ping()).rejects.toThrow(words);
      expect(inspect([logged, errors], { depth: 9, showHidden: true })).not.toMatch(/canary|proxy-user/);
      expect(inspect(logged)).not.toContain(BASIC.slice(6));
      await eventually(() => expect(proxy.open).toBe(0));
      expect(fake.calls).toEqual([]);
      proxy.manner = 'open';
      await store.create(at(), { name: 'n', value: 'v' });
    },
  );

  it.each(['reset', 502, 'hang'] as const)(
    'whose proxy answers %s forgets no call that waits for a connection',
    async (manner) => {
      const { proxy, reach } = await behindProxy();
      const limits = new UpstreamRateLimits(new SystemClock());
      const sizes = { maxConnections: 2, maxAnswerBytes: 1_000, tunnelTimeoutMs: 600 };
      const client = new InfisicalClient({ ...reach, ...sizes }, limits);
      proxy.manner = manner;
      const path = '/api/status';
      const calls = Array.from({ length: 8 }, () =>
        client
          .send({ call: 'setup', method: 'GET', pathTemplate: path, target: path, timeoutMs: 5_000 })
          .catch((error: unknown) => (error as InfisicalCallFailed).reason),
      );
      expect(new Set(await Promise.all(calls))).toEqual(new Set(['proxyFailed']));
      expect(proxy.tunnels).toHaveLength(8);
      client.close();
    },
  );

  it('whose proxy hangs for longer than a call may take leaves no connection behind', async () => {
    const { store, proxy, logged } = await behindProxy({ requestTimeoutMs: 150, operationTimeoutMs: 200 });
    proxy.manner = 'hang';
    await expect(store.retrieve(at(), 'n')).rejects.toEqual(new StoreUnavailable());
    expect(logged.map(({ fields }) => fields['reason'])).toEqual(['timedOut']);
    await eventually(() => expect(proxy.open).toBe(0));
  });

  it('keeps its deadline inside the tunnel, and a redirect is not followed', async () => {
    const { store, fake, logged, proxy } = await behindProxy({
      requestTimeoutMs: 300,
      operationTimeoutMs: 400,
    });
    await store.list(at());
    fake.fail({ method: 'GET', template: ROUTES.project, fault: { kind: 'hang', when: 'before' } });
    await expect(store.retrieve(at('other'), 'n')).rejects.toEqual(new StoreUnavailable());
    const headers = { location: 'https://elsewhere.test/' };
    fake.fail({ times: 9, fault: { kind: 'answer', status: 302, body: null, headers } });
    await expect(store.retrieve(at('third'), 'n')).rejects.toEqual(new StoreUnavailable());
    expect(
      logged.filter(({ event }) => event.endsWith('failed')).map(({ fields }) => fields['reason']),
    ).toEqual(['timedOut', 'notInfisical']);
    expect(proxy.tunnels.join()).not.toContain('elsewhere');
  });
});

describe('an http Infisical behind a proxy', () => {
  it('is asked through it, which alone sees its credentials; a refusal of the proxy is told as one', async () => {
    const { fake, another, logged } = await openStore({ apiVersion: 'v3' });
    const proxy = await FakeProxy.start();
    closing.push(() => proxy.close());
    const url = fake.url.replace('127.0.0.1', HOST);
    const proxyUrl = `http://${USER_INFO}@127.0.0.1:${proxy.port}`;
    const store = another({ url, proxyUrl, maxConnections: 1, operationTimeoutMs: 2_000 });
    await store.create(at(), { name: 'n', value: 'v' });
    expect(await store.retrieve(at(), 'n')).toEqual({ name: 'n', value: 'v' });
    expect(proxy.forwarded.every((address) => address.startsWith(`${url}/api/`))).toBe(true);
    expect([proxy.forwarded.length, proxy.mostOpen]).toEqual([fake.calls.length, 1]);
    expect(new Set(proxy.credentials)).toEqual(new Set([BASIC]));
    proxy.manner = 407;
    // Each of them needs the only connection.
    for (let i = 0; i < 2; i++)
      await expect(store.retrieve(at(), 'n')).rejects.toEqual(new StoreUnavailable());
    expect(logged.slice(-2).map(({ fields }) => fields['reason'])).toEqual(['proxyRefused', 'proxyRefused']);
    proxy.manner = 'open';
    expect(await store.retrieve(at(), 'n')).toEqual({ name: 'n', value: 'v' });
    expect(inspect(logged, { depth: 9 })).not.toContain('canary');
  });
});

describe('the environment', () => {
  it('alone makes no proxy: the store knows only what it is told', async () => {
    const { store, proxy, another, reach, front } = await behindProxy();
    process.env['HTTPS_PROXY'] = process.env['https_proxy'] = `http://127.0.0.1:${proxy.port}`;
    try {
      const { proxyUrl: _, ...direct } = reach;
      const straight = another({ ...direct, url: `https://localhost:${front.port}` });
      await expect(straight.list(at())).rejects.toEqual(new StoreUnavailable());
      expect(proxy.tunnels).toEqual([]);
    } finally {
      delete process.env['HTTPS_PROXY'];
      delete process.env['https_proxy'];
    }
    await store.list(at());
  });

  it('names a proxy, and NO_PROXY an exception, as the store then does', async () => {
    const { another, proxy, reach, front } = await behindProxy();
    const local = `https://localhost:${front.port}`;
    const env = { HTTPS_PROXY: `127.0.0.1:${proxy.port}` };
    const { proxyUrl: _, ...direct } = reach;
    const through = another({ ...direct, ...(proxySetting(env, reach.url) as object) });
    expect(await through.list(at())).toEqual([]);
    expect(proxy.tunnels).toHaveLength(1);
    expect(proxySetting(env, local)).toEqual({});
    expect(proxySetting({ ...env, no_proxy: HOST }, reach.url)).toEqual({});
  });
});
