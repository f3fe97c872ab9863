import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { DomainError } from '../errors/domain-error';
import { HeadersTooLarge, InvalidRequest } from '../errors/request-errors';
import { failure } from './error.filter';
import { openRequestsOn } from './request-cleanup';

/** What node:http refuses before there is a request (no HTTP, headers too large or too slow) is answered in our form too. */
export function answerMalformedRequests(server: Server): void {
  // Left to itself, node:http answers an unknown expectation with an empty body. We have none, so the route answers.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // With a request under way on this connection, our 400 would be read as its answer, though it may have been done.
    // (A request that is itself too slow to arrive has not been looked at: it gets its 400.)
    const own = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 1 : 0;
    const isAnswering = openRequestsOn(socket) > own;
    // Nobody waits behind a request that was cut short; and it may have been answered by its head already.
    if (
      error.code === 'HPE_INVALID_EOF_STATE' ||
      error.code === 'ECONNRESET' ||
      !socket.writable ||
      isAnswering ||
      isTlsFailure(error)
    ) {
      socket.destroy();
      return;
    }
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

/** Who does not get through the handshake, or breaks off later, could not read our answer. */
function isTlsFailure({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^(ERR_SSL|ERR_TLS|EPROTO)/.test(code);
}

function refusalFor({ code }: NodeJS.ErrnoException): DomainError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLarge();
  const isSlow = code === 'ERR_HTTP_REQUEST_TIMEOUT';
  return new InvalidRequest('request', isSlow ? 'must arrive within 30 s' : 'must be well-formed HTTP/1.1');
}
