import type { Server } from 'node:http';
import { connectionAccepted } from '../../concurrency/quiet-turn';
import type { MonotonicTime } from '../../time/clock';
import type { ConnectionBounds } from './connection-rates';
import { type CallerAddresses, FairTurns } from './fair-turns';

/** Each that waits is a descriptor, and up to 130 KiB of what its client has sent already in the memory of the operating system. */
const BOUNDS = { max: 512, maxOfAddress: 256 };

/** What node:net listens with, and what it is given for each accepted connection. */
interface ListeningHandle {
  onconnection?: (error: number, accepted?: AcceptedHandle) => void;
}

interface AcceptedHandle {
  getpeername?(peer: { address?: string }): number;
  close(): void;
}

/** Returns undefined where the client has reset the connection by now. */
function addressOf(accepted: AcceptedHandle): string | undefined {
  const peer: { address?: string } = {};
  return accepted.getpeername?.(peer) === 0 ? peer.address : undefined;
}

export interface Acceptance {
  /** Returns whether a connection that was accepted is closed at once. */
  isRefused(address: string): boolean;
  /** Returns whether one that has waited is closed, since its address has all that it may by now. */
  isBeyondShare(address: string): boolean;
  onAccepted(): void;
  onShed(): void;
}

/**
 * Closes refused connections before node:net makes a socket of them, and node:http a parser, which costs several times as
 * much. Of the others they are made by fair turns, so that the queue of the operating system, which is in the order of
 * arrival, is emptied quickly. The handle is not documented: where it is not as expected, connections are taken as Node does.
 */
export function acceptFairly(
  server: Pick<Server, 'on' | 'listening'> & { readonly _handle?: ListeningHandle | null },
  acceptance: Acceptance,
  callers: Pick<CallerAddresses, 'has'>,
  time: Pick<MonotonicTime, 'nowMs'>,
  { sockets }: Pick<ConnectionBounds, 'sockets'>,
): void {
  server.on('listening', () => {
    const { _handle: handle } = server;
    const accept = handle?.onconnection;
    if (handle === undefined || handle === null || typeof accept !== 'function') return;
    interface Waiting {
      readonly address: string;
      readonly accepted: AcceptedHandle;
    }
    const shed = ({ accepted }: Waiting): void => {
      acceptance.onShed();
      accepted.close();
    };
    const begin = (waiting: Waiting): void => {
      if (addressOf(waiting.accepted) === undefined) waiting.accepted.close();
      else if (!server.listening || acceptance.isBeyondShare(waiting.address)) shed(waiting);
      else accept.call(handle, 0, waiting.accepted);
    };
    const turns = new FairTurns({ ...BOUNDS, ofStrangers: sockets }, time, { begin, shed }, callers);
    handle.onconnection = (error, accepted) => {
      if (typeof accepted?.getpeername !== 'function') return accept.call(handle, error, accepted);
      turns.connectionAccepted();
      acceptance.onAccepted();
      const address = addressOf(accepted);
      if (address === undefined) return accepted.close();
      if (acceptance.isRefused(address)) return shed({ address, accepted });
      connectionAccepted();
      turns.add(address, { address, accepted });
    };
    server.on('close', () => turns.shedAll());
  });
}
