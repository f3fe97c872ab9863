import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SecretVault } from '../../src/client/index';
import { watchValue } from '../../src/client/repeated-reads';
import { errorOf } from '../../src/client/errors';
import { TestAuthority } from '../support/certificates';
import { describeWith, pythonWithBcrypt } from '../support/describe-with';

const dir = mkdtempSync(join(tmpdir(), 'unreached-'));
const serviceAccountTokenFile = join(dir, 'token');
writeFileSync(serviceAccountTokenFile, 'fake-token');
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const vaultAt = (url: string): SecretVault =>
  new SecretVault({ url, workspace: 'ws', serviceAccountTokenFile, maxRetries: 0 });

describe('a write that fails', () => {
  const NOTHING_SENT = [
    { code: 'ECONNREFUSED', syscall: 'connect' },
    { code: 'ETIMEDOUT', syscall: 'connect' },
    { code: 'ETIMEDOUT', errors: [] },
    { code: 'EAI_AGAIN', syscall: 'getaddrinfo' },
    { code: 'UND_ERR_CONNECT_TIMEOUT' },
    { code: 'CERT_HAS_EXPIRED' },
    { code: 'SELF_SIGNED_CERT_IN_CHAIN' },
    { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    { code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' },
  ];
  const MAY_BE_SENT = [
    { code: 'ETIMEDOUT', syscall: 'read' },
    { code: 'EHOSTUNREACH', syscall: 'read' },
    { code: 'ECONNRESET', syscall: 'read' },
    { code: 'UND_ERR_SOCKET' },
    { code: 'ERR_SSL_WRONG_VERSION_NUMBER' },
  ];
  it.each([
    ...NOTHING_SENT.map((cause) => ['UNREACHABLE', cause] as const),
    ...MAY_BE_SENT.map((cause) => ['STORE_OUTCOME_UNKNOWN', cause] as const),
  ])('is %s, as it was sent or not, with %j', async (reason, cause) => {
    jest.spyOn(globalThis, 'fetch').mockRejectedValue(new TypeError('fetch failed', { cause }));
    await expect(vaultAt('http://service').create('k', 'v')).rejects.toMatchObject({ reason });
  });

  it('is UNREACHABLE where the certificate of the service is refused', async () => {
    const server = createServer(new TestAuthority().certificateFor('127.0.0.1')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const call = vaultAt(`https://127.0.0.1:${port}`).create('k', 'v');
    await expect(call).rejects.toMatchObject({ reason: 'UNREACHABLE' });
    server.close();
  });
});

const NO_ADDRESSES = ['http://a b', 'http://h:70000', 'ftp://h', 'http://k:s@h', 'http://h?', 'http://h#'];

it.each(['', ...NO_ADDRESSES])('an address that is none is refused when a client is made: "%s"', (url) => {
  expect(() => vaultAt(url)).toThrow(TypeError);
});

describeWith('python3-bcrypt', 'the Python client', () => {
  it('refuses an address that is none when it is made', () => {
    const program = `
import sys
sys.path.insert(0, sys.argv[1])
from olares_secrets import SecretVault
for url in sys.argv[2:]:
    try:
        SecretVault(url=url, workspace="ws", app_key="fake-key", app_secret="fake-secret")
        print(url)
    except TypeError:
        pass
`;
    const folder = resolve(__dirname, '../../examples/clients');
    const args = ['-B', '-c', program, folder, ...NO_ADDRESSES, 'h:8080'];
    const { stdout } = spawnSync(pythonWithBcrypt() ?? '', args, { encoding: 'utf8' });
    expect(stdout).toBe('h:8080\n');
  });
});

it('watches: it asks less often while the service cannot be asked, also where the interval is an hour', async () => {
  jest.useFakeTimers();
  let reads = 0;
  const read = (): Promise<undefined> => {
    reads += 1;
    return Promise.reject(errorOf('STORE_UNAVAILABLE', 'later'));
  };
  const ended = new AbortController();
  const next = watchValue(read, { intervalMs: 3_600_000, signal: ended.signal }).next();
  await jest.advanceTimersByTimeAsync(3_000_000);
  expect(reads).toBe(1);
  ended.abort();
  expect((await next).done).toBe(true);
});
