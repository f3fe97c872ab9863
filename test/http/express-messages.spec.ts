import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express } from 'express';
import { expressMessages } from '../../src/http/server/strict-express.adapter';

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
