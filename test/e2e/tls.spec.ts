import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as plainConnect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { tlsPaths, type TlsSettings } from '../../src/config/tls-settings';
import { WatchedFiles } from '../../src/reloadable/reloadable';
import { shutDown } from '../../src/bootstrap/application';
import { type KeyAndCertificate, TestAuthority } from '../support/certificates';
import { eventually } from '../support/eventually';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall, type Answer, type Call } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const authority = new TestAuthority();
const clients = new TestAuthority('authority of clients');
const server = authority.certificateFor('127.0.0.1');
const nobody = (error: NodeJS.ErrnoException): string => error.code ?? 'no code';

describe('the service behind TLS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tls-server-'));
  const clock = new FixedClock(Date.now());
  const files = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') };
  const clientCaFile = join(dir, 'ca.crt');
  let time: FixedMonotonicTime;
  let logged: unknown[];
  let service: Service;

  async function start(more: Partial<TlsSettings> = {}): Promise<void> {
    write(server);
    const tls = { ...files, ...more };
    time = new FixedMonotonicTime();
    logged = [];
    const watched = new WatchedFiles(clock, time, (_level, event, fields) => logged.push([event, fields]));
    service = await startService(
      {
        clock,
        store: new MemorySecretStore(),
        grantSource: exampleApps(),
        files: watched,
      },
      { tls },
    );
    expect(tlsPaths(tls)).toHaveLength(more.clientCaFile === undefined ? 2 : 3);
  }
  function write({ cert, key }: KeyAndCertificate): void {
    writeFileSync(files.certFile, cert);
    writeFileSync(files.keyFile, key);
    writeFileSync(clientCaFile, clients.cert);
  }
  afterEach(() => service.close());
  afterAll(() => rmSync(dir, { recursive: true }));

  const port = (): number => (service.app.getHttpServer() as { address(): AddressInfo }).address().port;
  const headers = async (): Promise<Record<string, string>> => ({
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  });
  const list = async (identity: Partial<KeyAndCertificate> = {}, more: Call = {}): Promise<Answer> => {
    const tls = { ca: authority.cert, ...identity };
    return httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers: await headers(), body: {}, tls, ...more }); // prettier-ignore
  };
  /** What the server presents to a new connection, and how it speaks. */
  const handshake = async (options: object = {}): Promise<{ serial: string; protocol: string | null }> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: port(), host: '127.0.0.1', ca: authority.cert, ...options }, () => {
        resolve({ serial: socket.getPeerCertificate().serialNumber, protocol: socket.getProtocol() });
        socket.destroy();
      });
      socket.on('error', reject);
    });

  it('answers as it does without TLS', async () => {
    await start();
    const answer = await list();
    expect([answer.status, answer.body]).toEqual([200, { code: 200, message: '', data: [] }]);
    expect((await list({}, { headers: {} })).status).toBe(401);
  });

  it('accepts TLS 1.2 and 1.3, and nothing older', async () => {
    await start();
    expect((await handshake()).protocol).toBe('TLSv1.3');
    expect((await handshake({ maxVersion: 'TLSv1.2' })).protocol).toBe('TLSv1.2');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await expect(handshake(old)).rejects.toThrow(/alert protocol version|EPROTO|ECONNRESET/);
  });

  it('does not renegotiate', async () => {
    await start();
    const refused = new Promise((resolve) => {
      const socket = connect({ port: port(), host: '127.0.0.1', ca: authority.cert, maxVersion: 'TLSv1.2' }, () =>
        socket.renegotiate({}, (error) => {
          resolve(error);
          socket.destroy();
        }),
      ); // prettier-ignore
      socket.on('error', resolve);
      socket.on('close', () => resolve('closed'));
    });
    expect(String(await refused)).toMatch(/renegotiation|closed/i);
    expect((await list()).status).toBe(200);
  });

  it('answers a request that is not HTTP, closes a connection that is not TLS, and goes on', async () => {
    await start();
    const text = await new Promise<string>((resolve) => {
      let received = '';
      const socket = connect({ port: port(), host: '127.0.0.1', ca: authority.cert }, () => socket.end('NO HTTP\r\n\r\n')); // prettier-ignore
      socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
      socket.on('close', () => resolve(received));
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*"field":"request"/);
    const plain = httpCall(service.url.replace('https:', 'http:') + '/livez', { method: 'GET' });
    await expect(plain.catch(nobody)).resolves.toMatch(/ECONNRESET|HPE_INVALID/);
    expect((await list()).status).toBe(200);
  });

  it('accepts a handshake however many others are unfinished', async () => {
    await start();
    const idle = Array.from({ length: 600 }, (_, at) =>
      openSocket(service.url.replace('https:', 'http:'), `127.0.0.${2 + (at % 6)}`),
    );
    let closed = 0;
    for (const socket of idle) socket.once('close', () => (closed += 1));
    await eventually(() => expect(closed).toBe(600 - 512));
    expect((await list()).status).toBe(200);
    for (const socket of idle) socket.destroy();
  });

  it('shuts down at once although a handshake is unfinished', async () => {
    await start();
    const silent = plainConnect(port(), '127.0.0.1');
    await new Promise((resolve) => silent.once('connect', resolve));
    silent.on('error', () => undefined);
    const gone = new Promise((resolve) => silent.once('close', resolve));
    await list();
    const began = Date.now();
    expect(await shutDown(service.app)).toBe(true);
    expect(Date.now() - began).toBeLessThan(1500);
    await gone;
  });

  it('presents a new certificate once it is complete, and logs its expiry', async () => {
    await start();
    const before = await handshake();
    const renewed = authority.certificateFor('127.0.0.1');
    writeFileSync(files.certFile, renewed.cert);
    time.advance(3_000);
    // Its key is not there yet.
    expect(logged).toEqual([
      ['tls_reload_failed', { name: 'TLS_CERT_FILE', problem: `${files.keyFile} does not hold the key of the certificate in ${files.certFile}` }],
    ]); // prettier-ignore
    expect(await handshake()).toEqual(before);
    writeFileSync(files.keyFile, renewed.key);
    time.advance(3_000);
    expect((await handshake()).serial).not.toBe(before.serial);
    expect((await list()).status).toBe(200);
    expect(logged.slice(1)).toEqual([
      ['tls_reloaded', { name: 'TLS_CERT_FILE', expires: expect.stringMatching(/^\d{4}-.*Z$/) }],
    ]);
  });

  it.each([
    ['empty', () => ({ ...server, cert: '' }), 'tls.crt holds no PEM certificate'],
    ['cut off', () => ({ ...server, cert: server.cert.slice(0, 300) }), 'tls.crt holds no PEM certificate'],
    ['no key', () => ({ ...server, key: 'canary' }), 'tls.key holds no PEM private key that can be used'],
    ['expired', () => authority.certificateFor('127.0.0.1', [-9, -1]), 'tls.crt holds a certificate that has expired'], // prettier-ignore
  ])(
    'keeps the last good certificate while the files are bad (%s), which it says once',
    async (_, bad, why) => {
      await start();
      const before = await handshake();
      write(bad());
      time.advance(60_000);
      expect(await handshake()).toEqual(before);
      expect(logged).toEqual([
        ['tls_reload_failed', { name: 'TLS_CERT_FILE', problem: expect.stringContaining(why) }],
      ]);
      write(server);
      time.advance(60_000);
      expect(await handshake()).toEqual(before);
      expect(logged).toHaveLength(1);
    },
  );

  describe('with client certificates', () => {
    const one = clients.certificateFor('gateway.os-framework');

    it('refuses clients without a certificate of its authorities, and still requires the other credentials', async () => {
      await start({ clientCaFile });
      expect((await list(one)).status).toBe(200);
      expect((await list(one, { headers: {} })).status).toBe(401);
      await expect(list().catch(nobody)).resolves.toMatch(/ERR_SSL|ECONNRESET|EPIPE/);
      const foreign = authority.certificateFor('gateway.os-framework');
      await expect(list(foreign).catch(nobody)).resolves.toMatch(/ERR_SSL|ECONNRESET|EPIPE/);
      const expired = clients.certificateFor('gateway.os-framework', [-9, -1]);
      await expect(list(expired).catch(nobody)).resolves.toMatch(/ERR_SSL|ECONNRESET|EPIPE/);
    });

    it.each([
      ['CN=gateway.os-framework', 200],
      ['DNS=gateway.os-framework', 200],
      ['DNS=other', 401],
      ['URI=gateway.os-framework', 401],
      ['CN=Gateway.os-framework', 401],
    ])('of %s it answers %d', async (subject, status) => {
      await start({ clientCaFile, clientSubjects: ['CN=somebody', subject] });
      const answer = await list(one);
      expect(answer.status).toBe(status);
      if (status === 200) return;
      expect(answer.body.data).toMatchObject({ reason: 'UNAUTHENTICATED', credential: 'client certificate' });
    });

    it('accepts a URI as a subject, and a probe without one', async () => {
      await start({ clientCaFile, clientSubjects: ['URI=spiffe://olares/ns/a'] });
      expect((await list(clients.certificateFor('spiffe://olares/ns/a'))).status).toBe(200);
      expect((await list(clients.certificateFor('spiffe://olares/ns/ab'))).status).toBe(401);
      const tls = { ca: authority.cert, ...one };
      expect((await httpCall(`${service.url}/livez`, { method: 'GET', tls })).status).toBe(200);
      expect((await httpCall(`${service.url}/nowhere`, { method: 'GET', tls })).status).toBe(401);
    });

    it('refuses clients of an authority that was removed, also in a resumed session', async () => {
      await start({ clientCaFile });
      const sessions: Buffer[] = [];
      const resumed = async (session?: Buffer): Promise<string> =>
        new Promise((resolve) => {
          const socket = connect({ port: port(), host: '127.0.0.1', ca: authority.cert, ...one, ...(session && { session }) }); // prettier-ignore
          socket.on('session', (ticket: Buffer) => sessions.push(ticket));
          socket.on('error', (error: NodeJS.ErrnoException) => resolve(nobody(error)));
          socket.on('data', (chunk: Buffer) => resolve(`${socket.isSessionReused()} ${chunk.toString().slice(9, 12)}`)); // prettier-ignore
          socket.on('close', () => resolve('closed'));
          socket.write('GET /livez HTTP/1.1\r\n\r\n');
        });
      expect(await resumed()).toBe('false 200');
      expect(await resumed(sessions[0])).toBe('false 200');
      writeFileSync(clientCaFile, authority.cert);
      time.advance(3_000);
      expect(await resumed(sessions[0])).toMatch(/ERR_SSL|ECONNRESET|closed/);
      expect((await list(authority.certificateFor('a'))).status).toBe(200);
    });
  });
});
