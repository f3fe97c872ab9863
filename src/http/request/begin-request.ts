import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { AuditTrail } from '../../audit/audit-trail';
import { WORKSPACE_NAME, type SecretOperation } from '../../authz/grant';
import { STATUS_OF, type Reason } from '../../errors/domain-error';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import type { Log } from '../../logging/log';
import { beginCleanup } from '../server/request-cleanup';
import { AuditedRequest, auditedOperation } from './audited-request';
import { MAX_HEADER_PAIRS, recordForwarding } from './credential-headers';
import { NO_TARGET, parseTarget, type ProviderRequest, SYSTEM_SERVER_PREFIX } from './provider-request';

/** Observes every request but the probes. */
export interface RequestObserver {
  requestArrives(headers: IncomingHttpHeaders): ObservedRequest;
}

export interface ObservedRequest {
  /** Calls `proceed`, within which the whole request is handled. */
  run(proceed: () => void): void;
  ended(how: EndedRequest): void;
}

/** How a request ended, the same in the log, the metrics and the traces. Each field but the duration has few different values. */
export interface EndedRequest {
  readonly op: SecretOperation | 'access' | 'other';
  readonly durationMs: number;
  /** The documented HTTP status, whatever the style of the answer. */
  readonly code: number;
  /** Undefined for a success. */
  readonly reason: Reason | undefined;
}

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/**
 * Returns the middleware that every request passes first. It gives the request its id, its cleanup and its target, and sets
 * the headers that every answer has. It refuses what could be read in two ways, and reports who called, what for, and how it ended.
 */
export function beginRequests(log: Log, observer?: RequestObserver, trail?: AuditTrail): RequestHandler {
  return function beginRequest(arrived: Request, response: Response, next: NextFunction): void {
    const beganMs = performance.now();
    const request = arrived as ProviderRequest;
    recordForwarding(request);
    const { 'x-request-id': sentId } = request.headers;
    request.id = typeof sentId === 'string' && REQUEST_ID.test(sentId) ? sentId : randomUUID();
    request.cleanup = beginCleanup(request, response);
    const parsed = parseTarget(request);
    let refusal: Error | undefined;
    if (request.rawHeaders.length > 2 * MAX_HEADER_PAIRS) refusal = new HeadersTooLarge();
    else if (typeof parsed === 'string') refusal = new InvalidRequest('request target', parsed);
    const isRouted = typeof parsed !== 'string' && (refusal === undefined || !parsed.asSystemServer);
    const target = (request.target = isRouted ? parsed : NO_TARGET);
    if (target.asSystemServer) request.url = request.url.slice(SYSTEM_SERVER_PREFIX.length);
    // Express would parse the query again at each access.
    Object.defineProperty(request, 'query', { value: target.query, configurable: true });
    response.setHeader('X-Request-Id', request.id);
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (refusal !== undefined) response.setHeader('Connection', 'close');
    if (target.isProbe) return next(refusal);
    if (trail !== undefined) {
      const operation = auditedOperation(request);
      if (operation !== undefined) request.audit = new AuditedRequest(request, operation, beganMs, trail);
    }
    const observed = observer?.requestArrives(request.headers);
    // A closed socket no longer has its address.
    const { remoteAddress: peer } = request.socket;
    request.cleanup.add(() => {
      const durationMs = performance.now() - beganMs;
      const { access, caller, cleanup, user } = request;
      // The target of a ProxyRequest is another one by now.
      const { operation, path, query } = request.target;
      const { workspace } = query;
      const reason = request.failure ?? (cleanup.isAnswered ? undefined : (cleanup.cutFor ?? 'CLIENT_GONE'));
      const code = reason === undefined ? response.statusCode : STATUS_OF[reason];
      const op = path === '/permission/v1alpha1/access' ? 'access' : operation;
      // The fields are listed here and nothing else is written: no header, body, URL or foreign error object.
      const fields = {
        requestId: request.id,
        method: request.method,
        op,
        app: caller?.app ?? access?.app,
        user: caller?.user ?? user ?? access?.user,
        claimedApp: access?.claimedApp,
        claimedUser: access?.claimedUser,
        workspace: typeof workspace === 'string' && WORKSPACE_NAME.test(workspace) ? workspace : undefined,
        code,
        reason,
        staleForMs: request.staleForMs,
        cause: access?.cause,
        skewS: access?.skewS,
        // False where the client went away before the answer did; the operation may still have been done.
        completed: cleanup.isAnswered,
        peer,
        durationMs: Math.round(durationMs),
      };
      log[code >= 500 ? 'error' : 'info'](fields, 'request_completed');
      observed?.ended({ op: op ?? 'other', code, reason, durationMs });
    });
    if (observed === undefined) next(refusal);
    else observed.run(() => next(refusal));
  };
}
