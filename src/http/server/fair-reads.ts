import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { MonotonicTime } from '../../time/clock';
import { type CallerAddresses, FairTurns } from './fair-turns';

/** For how long sockets are read in one turn of the event loop; no read ends before it has taken what it found. */
const READS_MS = 1;
/** How many sockets are read again in one turn. One may bring 64 KiB, which take half a millisecond to parse. */
const READ_AGAIN_PER_TURN = 6;
/** Every socket has a place. */
const BOUNDS = { max: Infinity, maxOfAddress: Infinity, maxPerTurn: READ_AGAIN_PER_TURN };

type ReadSocket = Socket & {
  /** What node:net reads with. It is not documented: where it is not as expected, sockets are read as Node does. */
  readonly _handle?: { readonly reading?: boolean; readStop?(): number; readStart?(): number } | null;
};

/**
 * Node reads every socket that has data in one turn of the event loop: a thousand connections that send at the same moment
 * delay everybody by as many reads. Once the reads of a turn have taken their time, the other sockets are not read any more,
 * and then again by fair turns, a few in each turn of the event loop. Nothing is done while reads are quick.
 */
export class FairReads {
  /** Those that are not stopped. */
  readonly #sockets = new Set<ReadSocket>();
  readonly #turns: FairTurns<ReadSocket>;
  #beganMs: number | undefined;
  #isOver = false;

  constructor(
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
    callers: Pick<CallerAddresses, 'has'>,
  ) {
    const readAgain = (socket: ReadSocket): void => {
      if (socket.destroyed) return;
      this.#sockets.add(socket);
      if (socket._handle?.reading === true) socket._handle.readStart?.();
    };
    this.#turns = new FairTurns(BOUNDS, time, { begin: readAgain, shed: readAgain }, callers);
  }

  /** Reads the connections of this server fairly. With TLS these are the secured ones; handshakes are limited as connections. */
  watch(server: Pick<Server, 'on'>, event: 'connection' | 'secureConnection'): void {
    server.on(event, (socket: ReadSocket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('clientError', () => this.wasRead());
  }

  /** To be called for each connection that the server accepts. */
  connectionAccepted(): void {
    this.#turns.connectionAccepted();
    // Others wait to be accepted behind this one, in turns as long as the reads in them.
    if (this.#turns.waiting > 0) this.#endReads();
  }

  /** To be called for each request and each piece of a body that a read has brought. */
  wasRead(): void {
    if (this.#isOver) return;
    if (this.#beganMs === undefined) this.#begin();
    else if (this.time.nowMs() - this.#beganMs >= READS_MS) this.#endReads();
  }

  #begin(): void {
    this.#beganMs = this.time.nowMs();
    // It comes after all reads of this turn.
    setImmediate(() => {
      this.#beganMs = undefined;
      this.#isOver = false;
    });
  }

  #endReads(): void {
    if (this.#isOver) return;
    if (this.#beganMs === undefined) this.#begin();
    this.#isOver = true;
    for (const socket of this.#sockets) this.#stop(socket);
  }

  #stop(socket: ReadSocket): void {
    const { _handle: handle } = socket;
    if (handle?.reading !== true || handle.readStop === undefined) return;
    handle.readStop();
    this.#sockets.delete(socket);
    this.#turns.add(socket.remoteAddress ?? '', socket);
  }
}
