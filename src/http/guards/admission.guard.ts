import { hash } from 'node:crypto';
import { type CanActivate, type ExecutionContext, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { LRUCache } from 'lru-cache';
import { ClientGone, ShuttingDown, TooManyRequests, Unauthenticated } from '../../errors/request-errors';
import { Admission } from '../../limits/admission';
import {
  type LimitsObserver,
  type RateLimitExceeded,
  RateLimits,
  type RequestKind,
} from '../../limits/rate-limits';
import type { LogEvent } from '../../logging/log';
import type { MonotonicTime } from '../../time/clock';
import { loginCookiesIn } from '../request/credential-headers';
import {
  BYTES_OF_ONE_REQUEST,
  chargeBytes,
  type ProviderRequest,
  subjectOf,
} from '../request/provider-request';
import { RequestBodies } from '../server/request-bodies';
import type { RequestCleanup } from '../server/request-cleanup';
import { hasSubjectOf } from '../server/secure-server';

/** Refuses requests before anything is spent on them: neither is their body read nor are their credentials verified. */
export class EarlyRefusals {
  constructor(
    /** Whose certificate a client must show, `CN=…`, `DNS=…` or `URI=…` each; all other credentials are still required. */
    private readonly clientSubjects: readonly string[] | undefined,
    private readonly drain: Drain,
    private readonly throttledCredentials: ThrottledCredentials,
    private readonly admission: Admission,
  ) {}

  readonly middleware = (arrived: Request, _response: Response, next: NextFunction): void => {
    const request = arrived as ProviderRequest;
    // Probes are public, and come without TLS on the metrics port.
    if (!request.target.isProbe) {
      if (this.clientSubjects !== undefined && !hasSubjectOf(request.socket, this.clientSubjects))
        throw new Unauthenticated('client certificate');
      this.drain.admit(request.cleanup);
      this.throttledCredentials.requireUnthrottled(request);
      if (this.admission.loop?.isTooLate === true) this.admission.refuseForLoop();
    }
    next();
  };
}

/** Knows the requests in flight; once draining, refuses new ones and resolves when the last has ended. */
export class Drain implements OnModuleDestroy {
  readonly #inFlight = new Set<RequestCleanup>();
  #onEmpty: (() => void) | undefined;
  draining = false;
  /** True where requests were still in flight when the time had passed. */
  hasCutOff = false;

  constructor(
    private readonly timeoutMs: number,
    private readonly log: LogEvent,
  ) {}

  /** Resolves when no request is in flight any more, or the time has passed. */
  async onModuleDestroy(): Promise<void> {
    if (this.draining) return;
    this.log('info', 'draining', { timeoutMs: this.timeoutMs });
    this.draining = true;
    if (this.#inFlight.size === 0) return;
    this.hasCutOff = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), this.timeoutMs);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve(false);
      };
    });
    if (!this.hasCutOff) return;
    for (const cleanup of this.#inFlight) cleanup.cutFor ??= 'SHUTTING_DOWN';
    this.log('warn', 'requests_cut_off');
  }

  /** Notes a request until it ends. @throws ShuttingDown */
  admit(cleanup: RequestCleanup): void {
    if (this.draining) throw new ShuttingDown();
    this.#inFlight.add(cleanup);
    cleanup.add(() => {
      this.#inFlight.delete(cleanup);
      if (this.#inFlight.size === 0) this.#onEmpty?.();
    });
  }
}

interface Throttled {
  readonly caller: ProviderRequest['caller'] | undefined;
  readonly user: string | undefined;
  readonly budget: RateLimitExceeded['limitOf'];
  readonly untilMs: number;
}

const APP_CREDENTIALS = ['x-access-token', 'authorization'];
const CREDENTIALS = ['x-authorization', ...APP_CREDENTIALS];
/** The headers that identify a caller: requests that agree in all of them, and name no caller in their body, have the same one. */
const IDENTIFYING_HEADERS = [...CREDENTIALS, 'x-bfl-user', 'x-remote-user'];
/** Credentials are refused for at least this long, so that a flood stays cheap; tokens that are added meanwhile are not lost. */
const MIN_THROTTLE_MS = 50;
const MAX_REMEMBERED = 10_000;

/**
 * Remembers credentials whose rate limit is exceeded. Until there is a token again, the same ones are refused before the
 * body is read and a signature verified, so that a flood costs little. Only their hashes are stored, for a moment.
 */
export class ThrottledCredentials {
  /** Bounded as a size, since `max` would allocate all places at the start. */
  readonly #throttled = new LRUCache<string, Throttled>({ maxSize: MAX_REMEMBERED });
  #lastUntilMs = -Infinity;

  constructor(
    private readonly time: MonotonicTime,
    private readonly observer: LimitsObserver | undefined,
  ) {}

  /** Remembers the credentials of an authenticated request, unless its body names the caller, and returns the refusal. */
  refusal(
    request: ProviderRequest,
    kind: RequestKind,
    { limitOf: budget, retryAfterMs }: RateLimitExceeded,
  ): TooManyRequests {
    const { caller, user } = request;
    const hasCookie = user !== undefined && loginCookiesIn(request).length > 0;
    const hasCredentials =
      hasCookie || CREDENTIALS.some((name) => request.headersDistinct[name] !== undefined);
    if (hasCredentials && request.isProxied !== true) {
      const untilMs = this.time.nowMs() + Math.max(MIN_THROTTLE_MS, retryAfterMs);
      const throttled = { caller, user, budget, untilMs };
      this.#throttled.set(credentialsKeyOf(request, kind), throttled, { size: 1 });
      this.#lastUntilMs = Math.max(this.#lastUntilMs, untilMs);
    }
    return this.#refused(kind, budget, retryAfterMs);
  }

  /** @throws TooManyRequests */
  requireUnthrottled(request: ProviderRequest): void {
    const nowMs = this.time.nowMs();
    const { kind } = request.target;
    if (nowMs >= this.#lastUntilMs || kind === undefined) return;
    const throttled = this.#throttled.get(credentialsKeyOf(request, kind));
    if (throttled === undefined || nowMs >= throttled.untilMs) return;
    const { caller, user, budget, untilMs } = throttled;
    // For the log only: the request goes no further.
    Object.assign(request, { caller, user });
    throw this.#refused(kind, budget, untilMs - nowMs);
  }

  #refused(kind: RequestKind, budget: RateLimitExceeded['limitOf'], retryAfterMs: number): TooManyRequests {
    this.observer?.refused(budget, kind);
    return new TooManyRequests(Math.ceil(retryAfterMs / 1000));
  }
}

/** Hashes what identifies the caller. On the Settings routes that includes the login cookie and the user whom an administrator names. */
function credentialsKeyOf(request: ProviderRequest, kind: RequestKind): string {
  const { path, query } = request.target;
  const isUsers = path.startsWith('/admin/');
  const calledBy = isUsers ? ['user', query['user'], loginCookiesIn(request)] : ['app'];
  const headers = IDENTIFYING_HEADERS.map((name) => request.headersDistinct[name] ?? []);
  // Without a credential of its own an app is known by its address, and several may send the same user's token.
  const hasOwn = APP_CREDENTIALS.some((name) => request.headersDistinct[name] !== undefined);
  const address = hasOwn ? undefined : request.socket.remoteAddress;
  return hash('sha256', JSON.stringify([kind, calledBy, headers, address]), 'base64');
}

/**
 * Runs after authentication: takes the request from its caller's rate limit, reads its body, and counts it among the
 * requests in flight. It counts only once its body has arrived, so that slow senders take no capacity from others.
 */
@Injectable()
export class AdmissionGuard implements CanActivate {
  constructor(
    private readonly rateLimits: RateLimits,
    private readonly bodies: RequestBodies,
    private readonly admission: Admission,
    private readonly throttledCredentials: ThrottledCredentials,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<ProviderRequest>();
    if (request.target.isProbe) return true;
    const subject = subjectOf(request);
    const { kind, limited } = subject;
    if (kind !== undefined && limited !== undefined) {
      const exceeded = await this.rateLimits.take(kind, limited);
      if (exceeded !== undefined) throw this.throttledCredentials.refusal(request, kind, exceeded);
    }
    try {
      await this.bodies.read(request);
    } finally {
      const { bodyBytes = 0 } = request;
      if (bodyBytes >= BYTES_OF_ONE_REQUEST) chargeBytes(this.rateLimits, subject, bodyBytes);
    }
    // The ProxyRequests of proven peers were unwrapped by RequestAuthenticator; any other one is forged.
    const isOperation = request.target.operation !== undefined;
    if (isOperation && request.isProxied !== true && Object.hasOwn(request.body as object, 'appkey'))
      throw new Unauthenticated('X-Access-Token');
    // Nothing is done for a client that has hung up.
    if (request.cleanup.hasRun) throw new ClientGone();
    request.cleanup.add(this.admission.requests.take(subject));
    return true;
  }
}
