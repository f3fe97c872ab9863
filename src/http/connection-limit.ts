import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ProtectionObserver } from '../protection/protection-observer';
import { SharedCapacity } from '../protection/shared-capacity';

/**
 * Lets at most `max` connections be open, shared among the addresses that they come from, so that nobody's idle
 * connections keep others out. One beyond that is closed at once, before anything is read.
 */
export function limitConnections(
  server: Pick<Server, 'on'>,
  max: number,
  observer?: Pick<ProtectionObserver, 'connectionsOpened' | 'shed'>,
): void {
  const connections = new SharedCapacity(max);
  observer?.connectionsOpened(() => connections.used);
  server.on('connection', (socket: Socket) => {
    const taken = connections.take(socket.remoteAddress ?? '');
    if (typeof taken === 'function') {
      socket.once('close', taken);
      return;
    }
    observer?.shed('connections');
    socket.destroy();
  });
}
