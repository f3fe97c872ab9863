import { createHash } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import { TooManyRequests } from '../../errors/request-errors';
import type { LimitsObserver, RateLimitExceeded, RequestKind } from '../../limits/rate-limits';
import { loginCookiesIn } from '../request/login-cookie';
import { operationOf, pathOf, type ProviderRequest } from '../request/provider-request';
import { kindOf } from '../request/request-subject';

interface Throttled {
  readonly caller: ProviderRequest['caller'] | undefined;
  readonly user: string | undefined;
  readonly budget: RateLimitExceeded['budget'];
  readonly untilMs: number;
}

const CREDENTIALS = ['x-authorization', 'x-access-token', 'authorization'];
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
  readonly #throttled = new LRUCache<string, Throttled>({
    maxSize: MAX_REMEMBERED,
    sizeCalculation: () => 1,
  });
  #lastUntilMs = -Infinity;

  constructor(
    private readonly time: MonotonicTime,
    private readonly observer: LimitsObserver | undefined,
  ) {}

  /** Remembers the credentials of an authenticated request, unless its body names the caller, and returns the refusal. */
  refusal(
    request: ProviderRequest,
    kind: RequestKind,
    { budget, retryAfterMs }: RateLimitExceeded,
  ): TooManyRequests {
    const { caller, user } = request;
    const hasCookie = user !== undefined && loginCookiesIn(request).length > 0;
    const hasCredentials =
      hasCookie || CREDENTIALS.some((name) => request.headersDistinct[name] !== undefined);
    if (hasCredentials && request.isProxied !== true) {
      const untilMs = this.time.nowMs() + Math.max(MIN_THROTTLE_MS, retryAfterMs);
      this.#throttled.set(credentialsKeyOf(request, kind), { caller, user, budget, untilMs });
      this.#lastUntilMs = Math.max(this.#lastUntilMs, untilMs);
    }
    return this.#refused(kind, budget, retryAfterMs);
  }

  readonly middleware = (request: Request, _response: Response, next: NextFunction): void => {
    const nowMs = this.time.nowMs();
    const kind = nowMs < this.#lastUntilMs ? kindOf(request) : undefined;
    const throttled = kind === undefined ? undefined : this.#throttled.get(credentialsKeyOf(request, kind));
    if (kind === undefined || throttled === undefined || nowMs >= throttled.untilMs) {
      next();
      return;
    }
    const { caller, user, budget, untilMs } = throttled;
    // For the log only: the request goes no further.
    Object.assign(request, { caller, user });
    next(this.#refused(kind, budget, untilMs - nowMs));
  };

  #refused(kind: RequestKind, budget: RateLimitExceeded['budget'], retryAfterMs: number): TooManyRequests {
    this.observer?.refused(budget, kind);
    return new TooManyRequests(Math.ceil(retryAfterMs / 1000));
  }
}

/** Hashes what identifies the caller. On the Settings routes that includes the login cookie and the user whom an administrator names. */
function credentialsKeyOf(request: Request, kind: RequestKind): string {
  const calledBy =
    operationOf(pathOf(request)) === undefined
      ? ['user', request.query['user'], loginCookiesIn(request)]
      : ['app'];
  const headers = IDENTIFYING_HEADERS.map((name) => request.headersDistinct[name] ?? []);
  return createHash('sha256')
    .update(JSON.stringify([kind, calledBy, headers]))
    .digest('base64');
}
