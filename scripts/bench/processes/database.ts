import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** A database as the predecessor meets it: whatever is said to it, it answers a line after its service time. */
export async function startDatabase(answerMs: number): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => void pause(answerMs).then(() => socket.writable && socket.write('ok\n')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
