import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { DomainError } from '../../errors/domain-error';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import { failure } from '../answers/error.filter';
import { endRequestsOn, isReceivingBodyOn, openRequestsOn } from './request-cleanup';

/** How long a client may take to close a connection that we have answered and ended. */
const LINGER_MS = 1_000;

/** Answers in our form what node:http refuses before there is a request: no HTTP, headers that are too large or too slow. */
export function answerMalformedRequests(server: Server): void {
  // By default node:http answers an unknown Expect header with an empty body. The route answers instead.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // With a request under way on this connection, our 400 would be read as its answer, though it may have been done.
    // (A request whose body is too slow to arrive has not been done: it gets the 400, unless it was already answered.)
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isReceivingBodyOn(socket);
    // The client of a request that was cut short has gone; and the request may have been answered already.
    if (
      error.code === 'HPE_INVALID_EOF_STATE' ||
      error.code === 'ECONNRESET' ||
      !socket.writable ||
      openRequestsOn(socket) !== (isSlow ? 1 : 0) ||
      isTlsFailure(error)
    ) {
      socket.destroy();
      return;
    }
    // The rest of the request is not handled.
    endRequestsOn(socket);
    // Destroyed at once, the rest of what the client sends would reset the connection before it has read the answer.
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
    const requestId = randomUUID();
    const envelope = failure(refusalFor(error), requestId);
    const body = JSON.stringify(envelope);
    socket.end(
      [
        `HTTP/1.1 ${envelope.code} ${STATUS_CODES[envelope.code] ?? ''}`,
        'Content-Type: application/json; charset=utf-8',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Cache-Control: no-store',
        `X-Request-Id: ${requestId}`,
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    );
  });
}

/** Returns true for a failure of TLS, after which the client could not read an answer. */
function isTlsFailure({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^(ERR_SSL|ERR_TLS|EPROTO)/.test(code);
}

function refusalFor({ code }: NodeJS.ErrnoException): DomainError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLarge();
  const isSlow = code === 'ERR_HTTP_REQUEST_TIMEOUT';
  return new InvalidRequest('request', isSlow ? 'must arrive within 30 s' : 'must be well-formed HTTP/1.1');
}
