import { IncomingMessage, type ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Express } from 'express';

/** A chunk of a body takes some 400 bytes and two microseconds however short it is: so many may be shorter than a packet of a network is. */
const FREE_CHUNKS = 256;
const BYTES_FOR_A_CHUNK = 512;

/** The prototypes that Express gives to each message; its types leave them out. */
interface ExpressPrototypes {
  request: object;
  response: object;
}

/**
 * Returns message classes that have Express' prototypes from the start. Express would give each message another prototype,
 * upon which V8 discards its optimised shape: two thirds of what a bare echo costs, see
 * docs/decisions/0009-cost-per-request.md.
 */
export function expressMessages(
  instance: Express,
): Pick<Required<ServerOptions>, 'IncomingMessage' | 'ServerResponse'> {
  const prototypes = instance as unknown as ExpressPrototypes;
  class ExpressRequest extends IncomingMessage {
    private receivedChunks = 0;
    private receivedBytes = 0;

    /** Takes a chunk of the body as the parser made it, or null at its end. */
    override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
      if (chunk !== null) {
        this.receivedChunks += 1;
        this.receivedBytes += chunk.length;
        if (this.receivedChunks > FREE_CHUNKS + this.receivedBytes / BYTES_FOR_A_CHUNK) {
          cut(this.socket);
          return false;
        }
      }
      return super.push(chunk, encoding);
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
  onIncoming?: (() => number) | null;
  /** The request whose body is being parsed. */
  incoming: IncomingMessage | null;
  /** Where the function is that takes each chunk of a body. From Node 26 on, the parser no longer looks there for each. */
  readonly constructor: { readonly kOnBody?: unknown };
  [callback: number]: unknown;
}

/**
 * Destroys a connection and stops its parser, which would still build all that it has read: a thousand short requests, or ten thousand
 * chunks of a body. What comes of a body is dropped with its end, so that the request never is complete. Parsers are used again, so
 * that the function for chunks is put back.
 */
export function cut(socket: Socket & { readonly parser?: Parser | null }): void {
  const { parser } = socket;
  socket.destroy();
  if (typeof parser?.onIncoming !== 'function') return;
  parser.onIncoming = () => 2;
  parser.incoming = null;
  const { kOnBody } = parser.constructor;
  const onBody = typeof kOnBody === 'number' ? parser[kOnBody] : undefined;
  // It is not there where the connection was cut already.
  if (typeof kOnBody !== 'number' || typeof onBody !== 'function') return;
  parser[kOnBody] = undefined;
  setImmediate(() => (parser[kOnBody] = onBody));
}
