import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { DomainError } from '../../errors/domain-error';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import { failure } from '../answers/error.filter';
import { endRequestsOn, isReceivingBodyOn, openRequestsOn } from './request-cleanup';

/** How long a client may take to close a connection that was answered and ended. */
const LINGER_MS = 1_000;

/** What node:http refuses before there is a request (no HTTP, headers too large or too slow) is answered in our form too. */
export function answerMalformedRequests(server: Server): void {
  // Left to itself, node:http answers an unknown expectation with an empty body. We have none, so the route answers.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // With a request under way on this connection, our 400 would be read as its answer, though it may have been done.
    // (One whose body is itself too slow to arrive has not been done: it gets its 400, unless it was answered by its head.)
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isReceivingBodyOn(socket);
    // Nobody waits behind a request that was cut short; and it may have been answered by its head already.
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
    // What of it is still to come is not done.
    endRequestsOn(socket);
    // At once, the rest of what the client sends would reset the connection before it has seen the answer.
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

/** Who does not get through the handshake, or breaks off later, could not read our answer. */
function isTlsFailure({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^(ERR_SSL|ERR_TLS|EPROTO)/.test(code);
}

function refusalFor({ code }: NodeJS.ErrnoException): DomainError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLarge();
  const isSlow = code === 'ERR_HTTP_REQUEST_TIMEOUT';
  return new InvalidRequest('request', isSlow ? 'must arrive within 30 s' : 'must be well-formed HTTP/1.1');
}
