import { inspect } from 'node:util';
import { TestAuthority } from '../support/certificates';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { RedisServer } from '../support/redis-server';
import { RedisUnavailable, type RedisServer as ServerOptions } from '../../src/redis/redis-connection';
import type { Reloadable } from '../../src/reloadable/reloadable';
import { openRedis, type OpenedRedis, up } from './opened-redis';

const PASSWORD = 'canary-password';
const authority = new TestAuthority();
const opened: OpenedRedis[] = [];
const servers: RedisServer[] = [];

async function redis(...options: Parameters<typeof RedisServer.start>): Promise<RedisServer> {
  const server = await RedisServer.start(...options);
  servers.push(server);
  return server;
}
function link(...options: Parameters<typeof openRedis>): OpenedRedis {
  const one = openRedis(...options);
  opened.push(one);
  return one;
}
afterEach(async () => {
  for (const { link: one, logged } of opened.splice(0)) {
    await one.close();
    expect(logged.join()).not.toContain('canary');
  }
  await Promise.all(servers.splice(0).map((server) => server.remove()));
});
const heardOn = (one: OpenedRedis): string[] => {
  const received: string[] = [];
  one.link.listen({ received: (text) => received.push(text), opened: () => received.push('opened') });
  return received;
};

const LOCAL: ServerOptions = { host: '127.0.0.1', port: 1, database: 0, tls: false };

/** A server's address and credentials that a test changes. */
function changing(initial: ServerOptions) {
  let current = initial;
  const listeners: ((value: ServerOptions) => void)[] = [];
  const server: Reloadable<ServerOptions> = {
    current: () => current,
    renewed: () => current,
    versions: [{ value: initial, ageMs: () => Infinity }],
    whenChanged: (listener) => void listeners.push(listener),
  };
  const change = (value: ServerOptions): void => {
    current = value;
    for (const listener of listeners) listener(value);
  };
  return { server, change };
}

describeWith('redis-server', 'the link to Redis', () => {
  it('logs once that it is connected and once that it is lost, and reconnects by itself', async () => {
    const server = await redis({ password: PASSWORD });
    const one = link({ port: server.port, password: PASSWORD });
    const received = heardOn(one);
    await up(one);
    await one.link.publish('one');
    await eventually(() => expect(received).toEqual(['opened', 'one']));
    await server.kill();
    await up(one, false, 1_000);
    await expect(one.link.publish('canary')).rejects.toThrow(/^Redis is not available \((\w+)\)\.$/);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await server.begin();
    await up(one, true, 1_500);
    await one.link.publish('two');
    await eventually(() => expect(received).toEqual(['opened', 'one', 'opened', 'two']));
    expect(one.logged).toEqual([
      'redis_connected {}',
      expect.stringMatching(/^redis_lost {"reason":"(connectionLost|unreachable)"}$/),
      'redis_connected {}',
    ]);
    expect(one.states).toEqual([false, true, false, true]);
  }, 20_000);

  it('is lost within two seconds where Redis accepts commands and does not answer', async () => {
    const server = await redis();
    const one = link({ port: server.port });
    await up(one);
    const thaw = server.freeze();
    const beganMs = performance.now();
    await up(one, false, 2_000);
    await eventually(() => expect(one.link.isOpen).toBe(false), 2_000);
    await expect(one.link.publish('x')).rejects.toThrow(/timedOut|connectionLost/);
    expect(performance.now() - beganMs).toBeLessThan(2_000);
    thaw();
    await up(one);
  }, 15_000);

  it('logs why it is lost, in a word and without the password', async () => {
    const server = await redis({ password: PASSWORD });
    const wrong = link({ port: server.port, username: 'canary-user', password: 'canary-wrong' });
    const none = link({ port: server.port });
    const nowhere = link({ port: 1, password: PASSWORD });
    const lost = (reason: string): string[] => [`redis_lost {"reason":"${reason}"}`];
    await eventually(() => {
      expect(wrong.logged).toEqual(lost('credentialsRefused'));
      expect(none.logged).toEqual(lost('credentialsRefused'));
      expect(nowhere.logged).toEqual(lost('unreachable'));
    });
  });

  it('passes on nothing of an error of Redis, which contains the command with its arguments', async () => {
    const server = await redis();
    const one = link({ port: server.port });
    await up(one);
    const refused = one.link.commands.run((client) => client.set('canary-key', 'canary', 'EX', -1));
    const error: unknown = await refused.catch((caught: unknown) => caught);
    expect(error).toEqual(new RedisUnavailable('refused'));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('canary');
  });

  it('uses a new password, or a new address, as soon as it changes', async () => {
    const [old, renewed] = [await redis(), await redis({ password: PASSWORD })];
    const at = (port: number, more = {}): ServerOptions => ({ ...LOCAL, port, ...more });
    const { server, change } = changing(at(old.port));
    const one = link({}, { server });
    await up(one);
    const port = async () =>
      ((await one.link.commands.run((client) => client.config('GET', 'port'))) as string[])[1];
    change(at(renewed.port, { password: PASSWORD }));
    await up(one, false);
    await up(one);
    expect(await port()).toBe(String(renewed.port));
    // While it connects to nobody, too.
    change(at(1));
    await up(one, false);
    change(at(renewed.port, { password: PASSWORD }));
    await up(one);
  }, 15_000);
});

describeWith('redis-server', 'TLS to Redis', () => {
  const tls = { ...authority.certificateFor('127.0.0.1'), ca: authority.cert };

  it('is used with the configured authority, and with no other', async () => {
    const server = await redis({ tls, password: PASSWORD });
    const at = { port: server.port, tls: true, password: PASSWORD };
    const one = link(at, { authorities: () => [authority.cert] });
    const [other, none] = [link(at, { authorities: () => [new TestAuthority('x').cert] }), link(at)];
    await up(one);
    await eventually(() => {
      for (const { logged } of [other, none])
        expect(logged).toEqual(['redis_lost {"reason":"certificateRefused"}']);
    });
  });

  it('is left when the address says so', async () => {
    const [secured, plain] = [await redis({ tls }), await redis()];
    const { server, change } = changing({ ...LOCAL, port: secured.port, tls: true });
    const one = link({}, { server, authorities: () => [authority.cert] });
    await up(one);
    change({ ...LOCAL, port: plain.port });
    await eventually(async () =>
      expect(await one.link.commands.run((client) => client.config('GET', 'port'))).toEqual([
        'port',
        String(plain.port),
      ]),
    );
  });

  it('requires a certificate for the host', async () => {
    const server = await redis({ tls: { ...authority.certificateFor('other.test'), ca: authority.cert } });
    const one = link({ port: server.port, tls: true }, { authorities: () => [authority.cert] });
    await eventually(() => expect(one.logged).toEqual(['redis_lost {"reason":"certificateRefused"}']));
  });

  it('trusts an authority as soon as it is in the file', async () => {
    const server = await redis({ tls });
    let trusted = new TestAuthority('old').cert;
    const one = link({ port: server.port, tls: true }, { authorities: () => [trusted] });
    await eventually(() => expect(one.logged).toHaveLength(1));
    trusted = authority.cert;
    await up(one);
  });
});

describeWith('redis-server', 'Sentinels', () => {
  it("name the primary's address instead of the URL", async () => {
    const primary = await redis({ password: PASSWORD });
    const sentinel = await redis({ watches: primary, password: 'canary-sentinel' });
    const sentinels = {
      hosts: [
        { host: '127.0.0.1', port: 1 },
        { host: '127.0.0.1', port: sentinel.port },
      ],
      masterName: 'main',
      tls: false,
    };
    const at = { host: 'nowhere.invalid', password: PASSWORD };
    const one = link(at, { sentinels: { ...sentinels, password: 'canary-sentinel' } });
    await up(one);
    expect(await one.link.commands.run((client) => client.config('GET', 'port'))).toEqual([
      'port',
      String(primary.port),
    ]);
    const other = link(at, { sentinels: { ...sentinels, masterName: 'other', password: 'canary-sentinel' } });
    const wrong = link(at, { sentinels: { ...sentinels, password: 'canary-wrong' } });
    await eventually(() => {
      expect(other.logged).toEqual(['redis_lost {"reason":"unreachable"}']);
      expect(wrong.logged).toEqual(['redis_lost {"reason":"credentialsRefused"}']);
    });
  }, 20_000);

  it('are used again after a password was changed while none of them answered', async () => {
    const primary = await redis({ password: PASSWORD });
    const sentinel = await redis({ watches: primary });
    await sentinel.kill();
    const { server, change } = changing(LOCAL);
    const hosts = [{ host: '127.0.0.1', port: sentinel.port }];
    const one = link({}, { server, sentinels: { hosts, masterName: 'main', tls: false } });
    await eventually(() => expect(one.logged).toHaveLength(1));
    change({ ...LOCAL, password: PASSWORD });
    await sentinel.begin();
    await up(one);
  }, 20_000);
});
