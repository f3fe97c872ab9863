import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { shutDown } from '../../src/bootstrap/application';
import { TestAuthority } from '../support/certificates';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { FixedClock } from '../support/fixed-clock';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const PIECE = Buffer.alloc(64 * 1024, 'x');
const PIECES = 32;

describe.each(['plain', 'TLS'])(
  'a refused client that reads only once it has sent all of its body (%s)',
  (how) => {
    const dir = mkdtempSync(join(tmpdir(), 'refused-uploads-'));
    const authority = new TestAuthority();
    const clock = new FixedClock(how === 'TLS' ? Date.now() : undefined);
    let store: MemorySecretStore;
    let service: Service;
    beforeEach(async () => {
      const files = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') };
      const { cert, key } = authority.certificateFor('127.0.0.1');
      writeFileSync(files.certFile, cert);
      writeFileSync(files.keyFile, key);
      store = new MemorySecretStore();
      const adapters = { clock, store, grantSource: exampleApps() };
      service = await startService(adapters, {
        shutdownTimeoutMs: 20_000,
        ...(how === 'TLS' && { tls: files }),
      });
    });
    afterEach(() => service.close());
    afterAll(() => rmSync(dir, { recursive: true }));

    const open = (): Socket =>
      how === 'TLS'
        ? connect({ port: Number(new URL(service.url).port), host: '127.0.0.1', ca: authority.cert })
        : openSocket(service.url);
    const head = (...headers: readonly string[]): string =>
      ['POST /CreateSecret?workspace=otmoic HTTP/1.1', 'Host: x', ...headers, '', ''].join('\r\n');
    const upload = `Content-Length: ${PIECES * PIECE.length}`;

    /** Sends head and body, and returns what is read then until the service ends the connection, and what else came of it. */
    const exchange = async (sent: string): Promise<{ text: string; events: string[] }> => {
      const socket = open();
      const events: string[] = [];
      for (const event of ['end', 'error']) socket.once(event, () => events.push(event));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.pause().write(sent);
      for (let at = 0; at < PIECES; at += 1) {
        await pause(5);
        await new Promise((resolve) => socket.write(PIECE, resolve));
      }
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString())).resume();
      await closed;
      return { text, events };
    };

    it('has its refusal whole where the connection ends with it', async () => {
      const { text, events } = await exchange(head(upload, 'Connection: close'));
      expect(text).toMatch(/^HTTP\/1\.1 401 [^]*"reason":"UNAUTHENTICATED"[^]*}$/);
      expect(events).toEqual(['end']);
    });

    it('has the refusal of more headers than there may be whole', async () => {
      const many = Array.from({ length: 101 }, (_, at) => `X-${at}: y`);
      const { text, events } = await exchange(head(upload, ...many));
      expect(text).toMatch(/^HTTP\/1\.1 431 [^]*"reason":"HEADERS_TOO_LARGE"[^]*}$/);
      expect(events).toEqual(['end']);
    });

    it('has the refusal of an instance that drains whole, which tells that nothing was done', async () => {
      let go = (): void => undefined;
      store.gate = new Promise((resolve) => (go = resolve));
      const credentials = [
        `X-Authorization: ${await userToken('alice', clock.nowMs())}`,
        `X-Access-Token: ${await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs())}`,
      ];
      const inFlight = open().on('data', () => undefined);
      inFlight.write(head(...credentials).replace('CreateSecret', 'ListSecret'));
      await eventually(() => expect(store.calls).toHaveLength(1));
      const stopped = shutDown(service.app);
      const { text, events } = await exchange(head(upload, ...credentials));
      go();
      await stopped;
      inFlight.destroy();
      expect(text).toMatch(/^HTTP\/1\.1 503 [^]*"reason":"SHUTTING_DOWN"[^]*}$/);
      expect(events).toEqual(['end']);
    });

    it('may use a kept connection for a large answer afterwards, which is whole', async () => {
      const value = 'v'.repeat(1_000_000);
      const scope = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
      for (let at = 0; at < 4; at += 1) await store.create(scope, { name: `k${at}`, value });
      const socket = open();
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.write(head(upload));
      for (let at = 0; at < PIECES; at += 1) socket.write(PIECE);
      await eventually(() => expect(text).toContain('HTTP/1.1 401'));
      const credentials = [
        `X-Authorization: ${await userToken('alice', clock.nowMs())}`,
        `X-Access-Token: ${await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs())}`,
      ];
      socket.write(head(...credentials).replace('CreateSecret', 'ListSecret'));
      await closed;
      const answer = text.slice(text.indexOf('HTTP/1.1 200'));
      const [, length = ''] = /content-length: (\d+)/i.exec(answer) ?? [];
      expect(Number(length)).toBeGreaterThan(4 * value.length);
      expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toHaveLength(Number(length));
    });

    it('has the refusal of a head that is too large, although it goes on sending for a moment', async () => {
      const socket = open().pause();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => undefined).write(head(`X-Big: ${'x'.repeat(20 * 1024)}`));
      for (let at = 0; at < 5; at += 1) {
        await pause(20);
        socket.write(PIECE);
      }
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString())).resume();
      await closed;
      expect(text).toMatch(/^HTTP\/1\.1 431 [^]*"reason":"HEADERS_TOO_LARGE"[^]*}$/);
    });
  },
);
