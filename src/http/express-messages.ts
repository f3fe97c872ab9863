import { IncomingMessage, ServerResponse, type ServerOptions } from 'node:http';
import type { Express } from 'express';

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
