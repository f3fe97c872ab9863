import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express } from 'express';
import { eventually } from '../support/eventually';
import { openSocket, rawExchange } from '../support/raw-exchange';
import { expressMessages } from '../../src/http/server/express-messages';

const prototypesOf = (request: IncomingMessage, response: ServerResponse): readonly unknown[] => [
  Object.getPrototypeOf(request),
  Object.getPrototypeOf(response),
];

/** What the prototypes were when Node had made the messages, and when Express had taken them. */
async function exchange(instance: Express, options: object) {
  const seen: (readonly unknown[])[] = [];
  instance.get('/', (request, response) => {
    seen.push(prototypesOf(request, response));
    response.json({ fresh: request.fresh, ip: request.ip, app: request.app === instance });
  });
  const server = createServer(options, (request, response) => {
    seen.push(prototypesOf(request, response));
    instance(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return { seen, body: await answer.json() };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('the body of a request', () => {
  const messages = expressMessages(express());
  const pushed = jest.spyOn((messages.IncomingMessage as typeof IncomingMessage).prototype, 'push');
  const received: string[] = [];
  let aborted = 0;
  const server = createServer(messages, (request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => response.end(received.push(text) && '{}'));
    request.on('error', () => (aborted += 1));
  });
  let url: string;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    received.length = aborted = 0;
    pushed.mockClear();
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const chunked = (chunks: readonly string[]): string => {
    const text = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
    return `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${text}0\r\n\r\n`;
  };

  it.each([
    ['256 chunks of one byte', Array.from({ length: 256 }, (_, at) => String(at % 10))],
    ['a thousand chunks of 64 bytes', Array.from({ length: 1_000 }, (_, at) => String(at).padStart(64))],
    [
      'chunks of all lengths',
      Array.from({ length: 150 }, (_, at) => String(at).repeat((at * at) % 1_500 || 1)),
    ],
    ['one large chunk', ['c'.repeat(300_000)]],
  ])('is received in %s', async (_what, chunks) => {
    expect(await rawExchange(url, chunked(chunks), '127.0.0.1', 1)).toHaveLength(1);
    expect(received).toEqual([chunks.join('')]);
  });

  it('is cut off in more short chunks, of which the parser hands over no more, and later bodies on new connections arrive', async () => {
    const socket = openSocket(url);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume().write(chunked(Array<string>(9_000).fill('a')));
    await closed;
    expect(pushed.mock.calls.filter(([chunk]) => chunk !== null)).toHaveLength(261);
    expect(received).toEqual([]);
    for (let at = 0; at < 20; at += 1)
      expect(await rawExchange(url, chunked(['later', String(at)]), '127.0.0.1', 1)).toHaveLength(1);
    expect(received).toHaveLength(20);
    expect(received.at(-1)).toBe('later19');
  });

  it.each(['GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n', 'CONNECT x:1 HTTP/1.1\r\n\r\n'])(
    'is aborted where it was cut off, whatever follows it: %j',
    async (next) => {
      const socket = openSocket(url);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume().write(chunked(Array<string>(2_000).fill('a')) + next);
      await closed;
      await eventually(() => expect(aborted).toBe(1));
      expect(received).toEqual([]);
      expect(await rawExchange(url, chunked(['la', 'ter']), '127.0.0.1', 1)).toHaveLength(1);
      expect(received).toEqual(['later']);
    },
  );
});

describe('messages made for Express', () => {
  it('keep the prototype that they are created with, unlike those of a plain server', async () => {
    const instance = express();
    const [made, taken] = (await exchange(instance, expressMessages(instance))).seen;
    expect(taken?.[0]).toBe(made?.[0]);
    expect(taken?.[1]).toBe(made?.[1]);
    const [plain, changed] = (await exchange(express(), {})).seen;
    expect(changed?.[0]).not.toBe(plain?.[0]);
  });

  it('have everything that Express adds to them', async () => {
    const instance = express();
    const { body } = await exchange(instance, expressMessages(instance));
    expect(body).toEqual({ fresh: false, ip: '127.0.0.1', app: true });
  });
});
