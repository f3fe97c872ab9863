import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { errorOf } from '../../src/client/errors';
import { SecretVault, SecretVaultError, UnavailableError } from '../../src/client/index';
import { watchValue } from '../../src/client/repeated-reads';
import { AlicesSystemServer } from '../support/alices-system-server';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { SystemServer } from '../support/system-server';
import { userToken } from '../support/tokens';
import { StoreUnavailable } from '../../src/errors/store-errors';

const tokenFile = join(mkdtempSync(join(tmpdir(), 'client-')), 'token');
writeFileSync(tokenFile, 'fake-token');
afterAll(() => rmSync(dirname(tokenFile), { recursive: true }));

const store = new MemorySecretStore();
let service: Service;
let systemServer: SystemServer;
let token: string;
beforeAll(async () => {
  service = await startService({ store, grantSource: exampleApps(), peerVerifier: new AlicesSystemServer() });
  systemServer = await SystemServer.start(service.url, OTMOICLP);
  token = await userToken('alice', Date.now());
});
afterAll(async () => {
  await systemServer.close();
  await service.close();
});

const vaultOf = ({ appKey, appSecret }: typeof OTMOICLP, options: object = {}) =>
  new SecretVault({ url: service.url, workspace: 'otmoic', appKey, appSecret, userToken: token, ...options });
const tokensIssued = () =>
  service.logLines().filter((line) => line['op'] === 'access' && line['code'] === 200).length;
const reason = (call: Promise<unknown>) =>
  call.then(
    () => 'done',
    (error: unknown) => (error instanceof SecretVaultError ? error.reason : error),
  );

describe('the client of the service', () => {
  it('stores, reads, changes, lists and deletes a secret, with one access token', async () => {
    const before = tokensIssued();
    const vault = vaultOf(OTMOICLP, { environment: 'dev' });
    await Promise.all([vault.create('a', '1'), vault.create('b', '2')]);
    expect(await reason(vault.create('a', 'x'))).toBe('SECRET_ALREADY_EXISTS');
    expect(await vault.update('a', (current) => `${current}!`)).toBe('1!');
    await vault.put('b', '3');
    await vault.put('c', '4');
    expect(await vault.list()).toEqual([
      { name: 'a', value: '1!' },
      { name: 'b', value: '3' },
      { name: 'c', value: '4' },
    ]);
    await vault.delete('a');
    expect(await reason(vault.retrieve('a'))).toBe('SECRET_NOT_FOUND');
    expect(await vault.getOr('a', undefined)).toBeUndefined();
    expect(tokensIssued() - before).toBe(1);
  });

  it('of an app with fewer grants asks for a token for those alone, and says what the manifest lacks', async () => {
    await vaultOf(OTMOICLP).put('shared', 'v');
    const vault = vaultOf(READER);
    expect(await vault.retrieve('shared')).toBe('v');
    const refused = await vault.delete('shared').catch((error: unknown) => error);
    expect(refused).toMatchObject({
      reason: 'NOT_GRANTED',
      details: { status: 403, grant: 'DeleteSecret?workspace=otmoic' },
    });
  });

  it('works through system-server, but for updates that depend on the current value', async () => {
    const vault = new SecretVault({
      systemServer: systemServer.url,
      workspace: 'otmoic',
      // system-server knows the app by the access token that the real one checks.
      serviceAccountTokenFile: tokenFile,
      userToken: token,
    });
    await vault.put('via', 'v');
    expect(await vault.retrieve('via')).toBe('v');
    expect(await reason(vault.retrieve('missing'))).toBe('SECRET_NOT_FOUND');
    expect(await reason(vault.update('via', (value) => value + 1))).toBe('NO_CONDITIONAL_WRITES');
  });

  it('refuses a wrong secret with one sentence, in which is no secret', async () => {
    const vault = vaultOf({ ...OTMOICLP, appSecret: 'fake-wrong-secret' });
    const error: unknown = await vault.retrieve('k').catch((refused: unknown) => refused);
    expect(error).toMatchObject({ reason: 'UNAUTHENTICATED' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('fake-wrong-secret');
  });

  it('shows no value, key or token when it is printed, and no value in an error', async () => {
    const vault = vaultOf(OTMOICLP, { cache: { ttlMs: 60_000 } });
    await vault.put('printed', 'fake-value-to-look-for');
    await vault.retrieve('printed');
    const error: unknown = await vault
      .create('printed', 'fake-value-to-look-for')
      .catch((failed: unknown) => failed);
    const printed = [vault, error].map(
      (object) => inspect(object, { depth: 9, showHidden: true }) + JSON.stringify(object),
    );
    for (const text of printed)
      for (const secret of ['fake-value-to-look-for', OTMOICLP.appSecret, OTMOICLP.appKey, token])
        expect(text).not.toContain(secret);
  });

  it('answers from its cache, forgets what it writes itself, and serves a stale value while the store is away', async () => {
    const caching = (ttlMs: number) =>
      vaultOf(OTMOICLP, { cache: { ttlMs, staleIfErrorMs: 60_000 }, maxRetries: 0 });
    const [fresh, stale] = [caching(60_000), caching(0)];
    await fresh.put('cached', 'v1');
    expect(await fresh.retrieve('cached')).toBe('v1');
    await vaultOf(OTMOICLP).update('cached', 'v2');
    expect(await fresh.retrieve('cached')).toBe('v1');
    expect(await fresh.retrieve('cached', { noCache: true })).toBe('v2');
    await fresh.update('cached', 'v3');
    expect([await fresh.retrieve('cached'), await stale.retrieve('cached')]).toEqual(['v3', 'v3']);
    const asking = vaultOf(OTMOICLP, { maxRetries: 0 });
    await asking.retrieve('cached');
    store.failure = new StoreUnavailable();
    try {
      expect(await stale.retrieve('cached')).toBe('v3');
      expect(await asking.retrieve('cached').catch((error: unknown) => error)).toBeInstanceOf(
        UnavailableError,
      );
    } finally {
      store.failure = undefined;
    }
  });

  it('watches: it yields the value now, each change, and that it is gone, through an outage', async () => {
    const vault = vaultOf(OTMOICLP, { maxRetries: 0 });
    await vault.put('watched', '1');
    const ended = new AbortController();
    const seen: (string | undefined)[] = [];
    for await (const value of vault.watch('watched', { intervalMs: 20, signal: ended.signal })) {
      seen.push(value);
      if (value === '1') {
        store.failure = new StoreUnavailable();
        setTimeout(() => {
          store.failure = undefined;
          void vault.put('watched', '2');
        }, 100);
      }
      if (value === '2') void vault.delete('watched');
      if (value === undefined) ended.abort();
    }
    expect(seen).toEqual(['1', '2', undefined]);
  });

  it('watches: it does not ask again before the time that a server asked for, also where no timer is that long', async () => {
    let reads = 0;
    const read = (): Promise<undefined> => {
      reads += 1;
      return Promise.reject(errorOf('STORE_UNAVAILABLE', 'later', { retryAfterSeconds: 3_000_000 }));
    };
    const signal = AbortSignal.timeout(300);
    for await (const value of watchValue(read, { intervalMs: 1, signal })) expect(value).toBe('never');
    expect(reads).toBe(1);
  });

  it.each([2 ** 31, Infinity])(
    'waits before it asks again, and for an answer, where no timer is as long as it was told: %d ms',
    async (ms) => {
      let reads = 0;
      const read = (): Promise<string> => Promise.resolve(`${(reads += 1)}`);
      const signal = AbortSignal.timeout(300);
      for await (const value of watchValue(read, { intervalMs: ms, signal })) expect(value).toBe('1');
      expect(reads).toBe(1);
      const vault = vaultOf(OTMOICLP, { timeoutMs: ms, maxRetries: 0 });
      await vault.put('waited-for', 'v');
      expect(await vault.retrieve('waited-for')).toBe('v');
    },
  );

  it('gives up at once when its signal aborts', async () => {
    let release = (): void => undefined;
    store.gate = new Promise<void>((resolve) => (release = resolve));
    const aborted = new AbortController();
    const call = vaultOf(OTMOICLP).retrieve('k', { signal: aborted.signal });
    setTimeout(() => aborted.abort(new Error('enough')), 300);
    await expect(call).rejects.toThrow('enough');
    release();
    store.gate = Promise.resolve();
  });

  it('gives up at once also while it waits for an access token', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const aborted = new AbortController();
    const call = vaultOf(OTMOICLP, { url, timeoutMs: 2_000 }).retrieve('k', { signal: aborted.signal });
    setTimeout(() => aborted.abort(new Error('enough')), 300);
    await expect(call).rejects.toThrow('enough');
    silent.close();
  });

  it('does not reach the service without the options that it needs', () => {
    expect(() => new SecretVault({ workspace: 'w', appKey: 'k', appSecret: 's' })).toThrow(
      'either url or systemServer',
    );
    expect(() => new SecretVault({ workspace: 'w', url: 'http://x' })).toThrow('appKey and appSecret');
  });
});

it('the fake system-server passes no ETag on, as the real one does not', async () => {
  const { headers } = await httpCall(
    `${systemServer.url}/system-server/v1alpha1/secret/secret.infisical/v1/RetrieveSecret?workspace=otmoic`,
    { body: { name: 'via' }, headers: { 'x-authorization': token } },
  );
  expect(headers['etag']).toBeUndefined();
});
