import { type Server, type ServerOptions, createServer, STATUS_CODES } from 'node:http';
import express, { type Express, type Response } from 'express';
import { ExpressAdapter } from '@nestjs/platform-express/adapters';
import type { AuditTrail } from '../../audit/audit-trail';
import type { LimitsObserver } from '../../limits/rate-limits';
import type { Log } from '../../logging/log';
import type { Reloadable } from '../../reloadable/reloadable';
import type { MonotonicTime } from '../../time/clock';
import { type AnswerForms, type Envelope, failure } from '../answers/envelope';
import { beginRequests, type RequestObserver } from '../request/begin-request';
import type { ProviderRequest } from '../request/provider-request';
import { limitConnections } from './connection-limit';
import { type ConnectionBounds, TLS_SOCKETS } from './accepted-connections';
import {
  type LargeAnswers,
  lengthOf,
  send,
  sendLarge,
  SMALL_ANSWER_LENGTH,
  whenReceived,
} from './json-answers';
import { expressMessages } from './express-messages';
import type { RequestQueue } from './request-queue';
import { secureServer, type ServerIdentity, UnfinishedHandshakes } from './secure-server';
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { DomainError } from '../../errors/domain-error';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import { endRequestsOn, latestRequestOn, noteCut, openRequestsOn } from './request-cleanup';

/** Times are in milliseconds. */
const LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  // Longer than the 60 s for which proxies commonly keep an idle connection, so that the proxy closes it first.
  keepAliveTimeout: 65_000,
  // By default Node checks connections every 30 s, which would make the time-outs above imprecise.
  connectionsCheckingInterval: 1_000,
  // We do not read Host; node:http would answer a request without it with an empty body.
  requireHostHeader: false,
} as const satisfies ServerOptions;

/** Each connection takes some 20 KiB, and up to 100 KiB while an unread head or body is in its buffers. */
const MAX_CONNECTIONS = 2_000;
/** How many connections may wait to be accepted; Linux allows as many. With Node's 511 a client of a burst tries again a second later. */
const MAX_BACKLOG = 4_096;

/** What the server is made of. Nest makes it first, and the adapter is given it before the server is made. */
export abstract class ServerParts {
  abstract readonly forms: AnswerForms;
  abstract readonly largeAnswers: LargeAnswers;
  abstract readonly requests: RequestQueue;
  abstract readonly connectionBounds: ConnectionBounds;
  abstract readonly time: MonotonicTime;
  abstract readonly observer: RequestObserver | undefined;
  abstract readonly limits: LimitsObserver | undefined;
  /** Undefined where nothing is audited. */
  abstract readonly audit: AuditTrail | undefined;
  /** Undefined where callers use no TLS. */
  abstract readonly tls: Reloadable<ServerIdentity> | undefined;
  abstract readonly log: Log;
}

/** Nest's Express adapter, over a server with limits that only its constructor takes, and TLS where it has an identity. */
export class StrictExpressAdapter extends ExpressAdapter {
  private handshakes: UnfinishedHandshakes | undefined;
  private parts: ServerParts | undefined;

  constructor() {
    super(strictExpress());
  }

  equip(parts: ServerParts): void {
    this.parts = parts;
    this.getInstance<Express>().use(beginRequests(parts.log, parts.observer, parts.audit));
  }

  override initHttpServer(): void {
    const instance = this.getInstance<Express>();
    const { requests, connectionBounds, tls, limits, time } = this.parts ?? unequipped();
    const options = { ...LIMITS, ...expressMessages(instance, () => limits?.shed('pieces')) };
    const listener = requests.listener(instance);
    const server: Server =
      tls === undefined ? createServer(options, listener) : secureServer(options, listener, tls);
    if (tls !== undefined) this.handshakes = new UnfinishedHandshakes(server);
    const bounds = tls === undefined ? connectionBounds : { ...connectionBounds, sockets: TLS_SOCKETS };
    const onAccepted = (): void => requests.connectionAccepted();
    const { callers } = requests;
    limitConnections(server, MAX_CONNECTIONS, { observer: limits, time, onAccepted, callers, bounds });
    requests.reads.watch(server, tls === undefined ? 'connection' : 'secureConnection');
    answerMalformedRequests(server);
    this.httpServer = server;
  }

  override listen(
    port: string | number,
    host?: string | (() => void),
    whenListening = typeof host === 'function' ? host : undefined,
  ): Server {
    const address = typeof host === 'string' ? { host } : {};
    return this.httpServer.listen({ port: Number(port), ...address, backlog: MAX_BACKLOG }, whenListening);
  }

  /** Sends what a controller returned with 200, in the form that the caller reads. Failures are sent by the error filter. */
  override reply(response: Response, envelope: Envelope<unknown>): void | Promise<void> {
    const request = response.req as ProviderRequest;
    const { forms, largeAnswers } = this.parts ?? unequipped();
    const body = forms.success(request.target, envelope);
    if (lengthOf(body) > SMALL_ANSWER_LENGTH)
      return replyLarge(largeAnswers.textOf(request, body), request, response);
    const text = JSON.stringify(body);
    const { audit } = request;
    if (audit === undefined) return send(response, 200, [text]);
    return audit.ended().then(() => send(response, 200, [text]));
  }

  /** Cuts whatever is still open: those requests were waited for before. */
  override async close(): Promise<void> {
    const closed = super.close();
    this.handshakes?.cut();
    this.httpServer.closeAllConnections();
    await closed;
  }
}

function unequipped(): never {
  throw new Error('the server is not equipped');
}

async function replyLarge(
  text: ReturnType<LargeAnswers['textOf']>,
  request: ProviderRequest,
  response: Response,
): Promise<void> {
  const { chunks, release } = await text;
  try {
    await request.audit?.ended();
  } catch (error: unknown) {
    release();
    throw error;
  }
  whenReceived(request, release);
  sendLarge(response, 200, chunks);
}

/** Makes an Express with strict settings; they must be set before Nest's adapter makes the router, which reads them. */
function strictExpress(): Express {
  const instance = express();
  instance.disable('x-powered-by');
  instance.disable('etag');
  instance.enable('case sensitive routing');
  instance.enable('strict routing');
  instance.set('query parser', 'simple');
  return instance;
}

/** How long a client has to read an answer with which its connection ends, while nothing more is read of it. */
const LINGER_MS = 1_000;

/** Answers in our form what node:http refuses before there is a request: no HTTP, headers that are too large or too slow. */
export function answerMalformedRequests(server: Server): void {
  // By default node:http answers an unknown Expect header with an empty body. The route answers instead.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const { code = '' } = error;
    const latest: { readonly complete: boolean; readonly id?: string } | undefined = latestRequestOn(socket);
    const isReceivingBody = latest?.complete === false;
    // With a request under way on this connection, our 400 would be read as its answer, though it may have been done.
    // (A request whose body is too slow to arrive has not been done: it gets the 400, unless it was already answered.)
    const isSlow = code === 'ERR_HTTP_REQUEST_TIMEOUT' && isReceivingBody;
    const refusal = refusalFor(code, isReceivingBody);
    // It is not the client who ends the requests on this connection then.
    if (/^(HPE_(?!INVALID_EOF_STATE)|ERR_HTTP_REQUEST_TIMEOUT)/.test(code)) noteCut(socket, refusal.reason);
    // The client of a request that was cut short has gone; and the request may have been answered already.
    if (
      code === 'HPE_INVALID_EOF_STATE' ||
      code === 'ECONNRESET' ||
      !socket.writable ||
      openRequestsOn(socket) !== (isSlow ? 1 : 0) ||
      // This is the rest of a body whose request was answered.
      (!isSlow && isReceivingBody) ||
      // The client could not read an answer.
      /^(ERR_SSL|ERR_TLS|EPROTO)/.test(code)
    ) {
      socket.destroy();
      return;
    }
    // The rest of the request is not handled.
    endRequestsOn(socket);
    // Destroyed at once, the rest of what the client sends would reset the connection before it has read the answer.
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
    // A request that has begun has its line in the log, by its id.
    const requestId = (isSlow ? latest?.id : undefined) ?? randomUUID();
    const envelope = failure(refusal, requestId);
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
    // The next packet would be an error again, which destroys the connection.
    socket.pause();
  });
}

function refusalFor(code: string, isReceivingBody: boolean): DomainError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLarge();
  if (code !== 'ERR_HTTP_REQUEST_TIMEOUT')
    return new InvalidRequest('request', 'must be well-formed HTTP/1.1');
  const rule = isReceivingBody
    ? 'must arrive within 30 s'
    : 'must have all of its headers arrive within 10 s';
  return new InvalidRequest('request', rule);
}
