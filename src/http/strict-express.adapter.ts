import { createServer, type ServerOptions } from 'node:http';
import type { Server } from 'node:https';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Express, Response } from 'express';
import type { Admission } from '../protection/admission';
import type { Rotating } from '../rotation/rotating';
import type { AnswerForms } from './answer-forms';
import type { Envelope } from './envelope';
import { expressMessages } from './express-messages';
import type { ProviderRequest } from './provider-request';
import { subjectOf } from './request-subject';
import { secureServer, type ServerIdentity } from './secure-server';
import { sendLargeJson } from './send-json';
import { UnfinishedHandshakes } from './unfinished-handshakes';

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
    private readonly admission: Admission,
    private readonly identity?: Rotating<ServerIdentity>,
  ) {
    super(instance);
  }

  override initHttpServer(): void {
    const instance = this.getInstance<Express>();
    const options = { ...LIMITS, ...expressMessages(instance) };
    this.httpServer =
      this.identity === undefined
        ? createServer(options, instance)
        : this.secured(options, instance, this.identity);
    // Node would drop what comes behind so many headers unseen, after which checks and proxies disagree: they are counted instead.
    this.httpServer.maxHeadersCount = 0;
  }

  /** Of what a controller returns: here it takes the form that the caller reads. Failures are the error filter's. */
  override reply(response: Response, body: Envelope<unknown>, status = response.statusCode): void {
    const request = response.req as ProviderRequest;
    sendLargeJson(response, status, this.forms.of(request).success(body).body, (bytes) =>
      request.cleanup.add(this.admission.answer(subjectOf(request), bytes)),
    );
  }

  override async close(): Promise<void> {
    const closed = super.close();
    this.handshakes?.cut();
    await closed;
  }

  private secured(options: ServerOptions, instance: Express, identity: Rotating<ServerIdentity>): Server {
    const server = secureServer(options, instance, identity);
    this.handshakes = new UnfinishedHandshakes(server);
    return server;
  }
}
