import { IncomingMessage, ServerResponse, type ServerOptions, createServer } from 'node:http';
import type { Express, Response } from 'express';
import { ExpressAdapter } from '@nestjs/platform-express/adapters';
import type { Reloadable } from '../../reloadable/reloadable';
import type { AnswerForms, Envelope } from '../answers/envelope';
import { type LargeAnswers, lengthOf, sendJson, sendLargeJson, SMALL_ANSWER_LENGTH } from './json-answers';
import type { ProviderRequest } from '../request/provider-request';
import type { RequestQueue } from './request-queue';
import { secureServer, type ServerIdentity, UnfinishedHandshakes } from './secure-server';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the 60 s for which proxies commonly keep an idle connection, so that the proxy closes it first. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** By default Node checks connections every 30 s, which would make the time-outs above imprecise. */
const CONNECTIONS_CHECKED_EVERY_MS = 1_000;

const LIMITS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CONNECTIONS_CHECKED_EVERY_MS,
  // We do not read Host; node:http would answer a request without it with an empty body.
  requireHostHeader: false,
} as const satisfies ServerOptions;

/** Nest's Express adapter, over a server with limits that only its constructor takes, and TLS where it has an identity. */
export class StrictExpressAdapter extends ExpressAdapter {
  private handshakes: UnfinishedHandshakes | undefined;

  constructor(
    instance: Express,
    private readonly forms: AnswerForms,
    private readonly largeAnswers: LargeAnswers,
    private readonly requests: RequestQueue,
    private readonly identity?: Reloadable<ServerIdentity>,
  ) {
    super(instance);
  }

  override initHttpServer(): void {
    const instance = this.getInstance<Express>();
    const options = { ...LIMITS, ...expressMessages(instance) };
    const listener = this.requests.listener(instance);
    if (this.identity === undefined) {
      this.httpServer = createServer(options, listener);
      return;
    }
    const server = secureServer(options, listener, this.identity);
    this.handshakes = new UnfinishedHandshakes(server);
    this.httpServer = server;
  }

  /** Sends what a controller returned, in the form that the caller reads. Failures are sent by the error filter. */
  override reply(
    response: Response,
    envelope: Envelope<unknown>,
    status = response.statusCode,
  ): void | Promise<void> {
    const request = response.req as ProviderRequest;
    const body = this.forms.success(request.target, envelope);
    if (lengthOf(body) > SMALL_ANSWER_LENGTH) return this.replyLarge(request, response, status, body);
    sendJson(response, status, [JSON.stringify(body)]);
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
}

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
  class ExpressRequest extends IncomingMessage {}
  class ExpressResponse<R extends IncomingMessage> extends ServerResponse<R> {}
  Object.setPrototypeOf(ExpressRequest.prototype, prototypes.request);
  Object.setPrototypeOf(ExpressResponse.prototype, prototypes.response);
  prototypes.request = ExpressRequest.prototype;
  prototypes.response = ExpressResponse.prototype;
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse };
}
