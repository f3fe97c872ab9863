import { IncomingMessage, type ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Express } from 'express';
import type { Reason } from '../../errors/domain-error';
import { noteCut } from './request-cleanup';

/** What the parser hands over of a body, a chunk or what one packet brings, takes some 400 bytes and two microseconds however short it is. */
const FREE_PIECES = 256;
const BYTES_FOR_A_PIECE = 64;
/** Shorter pieces behind the first are copied together, so that a body takes memory by its length. */
const SHORT_BYTES = 1_024;
const JOINED_BYTES = 4 * 1024;

/** The prototypes that Express gives to each message; its types leave them out. */
interface ExpressPrototypes {
  request: object;
  response: object;
}

/**
 * Returns message classes that have Express' prototypes from the start. Express would give each message another prototype,
 * upon which V8 discards its optimised shape: two thirds of what a bare echo costs, see
 * docs/decisions/0009-cost-per-request.md. A connection is cut off where a body comes in too many short pieces.
 */
export function expressMessages(
  instance: Express,
  onCutOff?: () => void,
): Pick<Required<ServerOptions>, 'IncomingMessage' | 'ServerResponse'> {
  const prototypes = instance as unknown as ExpressPrototypes;
  class ExpressRequest extends IncomingMessage {
    private receivedPieces = 0;
    private receivedBytes = 0;
    private joined: Buffer | undefined;
    private joinedBytes = 0;

    /** Takes a piece of the body as the parser made it, or null at its end. Too many short ones cut the connection. */
    override push(piece: Buffer | null): boolean {
      if (piece === null) {
        if (this.joined !== undefined) this.pushJoined(this.joined);
        return super.push(null);
      }
      this.receivedPieces += 1;
      this.receivedBytes += piece.length;
      if (this.receivedPieces > FREE_PIECES + this.receivedBytes / BYTES_FOR_A_PIECE) {
        onCutOff?.();
        cut(this.socket, 'INVALID_REQUEST');
        return false;
      }
      // Most bodies are one piece, which is not copied.
      if (this.receivedPieces === 1) return super.push(piece);
      const isFull = this.joinedBytes + Math.max(piece.length, SHORT_BYTES) > JOINED_BYTES;
      const isLast = isFull || piece.length >= SHORT_BYTES;
      const mayGoOn = isLast && this.joined !== undefined ? this.pushJoined(this.joined) : true;
      if (piece.length >= SHORT_BYTES) return super.push(piece) && mayGoOn;
      this.joined ??= Buffer.allocUnsafe(JOINED_BYTES);
      this.joinedBytes += piece.copy(this.joined, this.joinedBytes);
      return mayGoOn;
    }

    private pushJoined(joined: Buffer): boolean {
      const { joinedBytes } = this;
      this.joined = undefined;
      this.joinedBytes = 0;
      return super.push(joined.subarray(0, joinedBytes));
    }
  }
  class ExpressResponse<R extends IncomingMessage> extends ServerResponse<R> {}
  Object.setPrototypeOf(ExpressRequest.prototype, prototypes.request);
  Object.setPrototypeOf(ExpressResponse.prototype, prototypes.response);
  prototypes.request = ExpressRequest.prototype;
  prototypes.response = ExpressResponse.prototype;
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse };
}

/** What node:http has of its parser: none of it is documented. */
interface Parser {
  /** Called for each request that it has parsed; the answer 2 ends parsing. */
  onIncoming?: ((request: { upgrade?: boolean | null }) => number) | null;
  /** The request whose body is being parsed. */
  incoming: IncomingMessage | null;
  /** Where the function is that takes each chunk of a body. From Node 26 on, the parser no longer looks there for each. */
  readonly constructor: { readonly kOnBody?: unknown };
  [callback: number]: unknown;
}

type ParsedSocket = Socket & { readonly parser?: Parser | null };

/** Destroys a connection, of which the rest is not parsed. The log gives `why` as the reason of its unanswered requests. */
export function cut(socket: ParsedSocket, why: Reason): void {
  noteCut(socket, why);
  socket.destroy();
  stopParsing(socket);
}

/**
 * Stops the parser of a connection, which would still build all that it has read: thousands of short requests, or of pieces of a body.
 * What comes of a body is dropped with its end, so that the request never is complete. Parsers are used again, so that the
 * function for pieces is put back.
 */
export function stopParsing({ parser }: ParsedSocket): void {
  if (typeof parser?.onIncoming !== 'function') return;
  parser.onIncoming = (request) => {
    // For an upgrade node:http would free the parser at once, and forget the requests of the connection.
    request.upgrade = false;
    return 2;
  };
  parser.incoming = null;
  const { kOnBody } = parser.constructor;
  const onBody = typeof kOnBody === 'number' ? parser[kOnBody] : undefined;
  // It is not there where the connection was cut already.
  if (typeof kOnBody !== 'number' || typeof onBody !== 'function') return;
  parser[kOnBody] = undefined;
  setImmediate(() => (parser[kOnBody] = onBody));
}
