import {
  IncomingMessage,
  ServerResponse,
  type ServerOptions,
  createServer,
  type RequestListener,
} from 'node:http';
import type { Express, Response } from 'express';
import type { Server } from 'node:https';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Reloadable } from '../../reloadable/reloadable';
import type { AnswerForms, Envelope } from '../answers/envelope';
import { lengthOf, SMALL_ANSWER_LENGTH, type LargeAnswers } from './large-answers';
import type { ProviderRequest } from '../request/provider-request';
import { secureServer, type ServerIdentity, UnfinishedHandshakes } from './secure-server';
import { sendJson, sendLargeJson } from './send-json';

/** What Express makes the prototype of each message that it is given; its types leave them out. */
interface ExpressPrototypes {
  request: object;
  response: object;
}

/**
 * Classes of messages for the server of an application. Express gives each request and answer another prototype, upon
 * which V8 forgets what it learnt of their shape: two thirds of what a bare echo costs. Those that are made with that
 * prototype already are left as they are. docs/decisions/0009-cost-per-request.md has the figures.
 */
export function expressMessages(
  instance: Express,
): Pick<Required<ServerOptions>, 'IncomingMessage' | 'ServerResponse'> {
  const prototypes = instance as unknown as ExpressPrototypes;
  class ExpressRequest extends IncomingMessage {}
  class ExpressResponse<R extends IncomingMessage> extends ServerResponse<R> {}
  Object.setPrototypeOf(ExpressRequest.prototype, prototypes.request);
  Object.setPrototypeOf(ExpressResponse.prototype, prototypes.response);
  prototypes.request = ExpressRequest.prototype;
  prototypes.response = ExpressResponse.prototype;
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse };
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the 60 s that proxies commonly keep an idle connection, so that it is they who close it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** Node looks for overdue connections every 30 s of its own accord, which makes the time-outs above mean little. */
const CONNECTIONS_CHECKED_EVERY_MS = 1_000;

const LIMITS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CONNECTIONS_CHECKED_EVERY_MS,
  // We do not read Host; without it node:http would answer with an empty body of its own.
  requireHostHeader: false,
} as const satisfies ServerOptions;

/** Nest's adapter over a server with limits that only its constructor takes, and TLS where there is an identity for it. */
export class StrictExpressAdapter extends ExpressAdapter {
  private handshakes: UnfinishedHandshakes | undefined;

  constructor(
    instance: Express,
    private readonly forms: AnswerForms,
    private readonly largeAnswers: LargeAnswers,
    private readonly inTurns: (listener: RequestListener) => RequestListener,
    private readonly identity?: Reloadable<ServerIdentity>,
  ) {
    super(instance);
  }

  override initHttpServer(): void {
    const instance = this.getInstance<Express>();
    const options = { ...LIMITS, ...expressMessages(instance) };
    const listener = this.inTurns(instance);
    this.httpServer =
      this.identity === undefined
        ? createServer(options, listener)
        : this.secured(options, listener, this.identity);
  }

  /** Of what a controller returns: here it takes the form that the caller reads. Failures are the error filter's. */
  override reply(
    response: Response,
    envelope: Envelope<unknown>,
    status = response.statusCode,
  ): void | Promise<void> {
    const request = response.req as ProviderRequest;
    const { body } = this.forms.of(request).success(envelope);
    if (lengthOf(body) > SMALL_ANSWER_LENGTH) return this.replyLarge(request, response, status, body);
    sendJson(response, status, body);
  }

  override async close(): Promise<void> {
    const closed = super.close();
    this.handshakes?.cut();
    await closed;
  }

  private async replyLarge(
    request: ProviderRequest,
    response: Response,
    status: number,
    body: object,
  ): Promise<void> {
    const { chunks, release } = await this.largeAnswers.textOf(request, body);
    request.socket.once('close', release);
    sendLargeJson(response, status, chunks);
  }

  private secured(
    options: ServerOptions,
    listener: RequestListener,
    identity: Reloadable<ServerIdentity>,
  ): Server {
    const server = secureServer(options, listener, identity);
    this.handshakes = new UnfinishedHandshakes(server);
    return server;
  }
}
