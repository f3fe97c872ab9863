import { createHash } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import { TooManyRequests } from '../../errors/request-errors';
import type { LimitsObserver, RateLimitExceeded, RequestKind } from '../../limits/rate-limits';
import { operationOf, pathOf, type ProviderRequest } from '../request/provider-request';
import { kindOf } from '../request/request-subject';

interface Throttled {
  readonly caller: ProviderRequest['caller'] | undefined;
  readonly user: string | undefined;
  readonly budget: RateLimitExceeded['budget'];
  readonly untilMs: number;
}

const CREDENTIALS = ['x-authorization', 'x-access-token', 'authorization'];
/** What names whoever calls; a request that has the same of all of them, and no caller in its body, is theirs. */
const NAMING = [...CREDENTIALS, 'x-bfl-user', 'x-remote-user'];
/** Who floods is looked at again no sooner: tokens that drip in meanwhile are not lost. */
const SHORTEST_MS = 50;
const MAX_REMEMBERED = 10_000;

/**
 * Credentials of whom it was just found out that their budget is spent: until it is not, the same ones are refused
 * before the body is read and a signature verified, so that a flood costs little. Kept as hashes, for a moment.
 */
export class ThrottledCredentials {
  readonly #throttled = new LRUCache<string, Throttled>({ max: MAX_REMEMBERED });
  #lastUntilMs = -Infinity;

  constructor(
    private readonly time: MonotonicTime,
    private readonly observer: LimitsObserver | undefined,
  ) {}

  /** Of a request that was authenticated. One whose caller is named in its body is not remembered. */
  refusal(
    request: ProviderRequest,
    kind: RequestKind,
    { budget, retryAfterMs }: RateLimitExceeded,
  ): TooManyRequests {
    if (
      request.isProxied !== true &&
      CREDENTIALS.some((name) => request.headersDistinct[name] !== undefined)
    ) {
      this.#remember(request, kind, {
        budget,
        untilMs: this.time.nowMs() + Math.max(SHORTEST_MS, retryAfterMs),
      });
    }
    return this.#refused(kind, budget, retryAfterMs);
  }

  readonly middleware = (request: Request, _response: Response, next: NextFunction): void => {
    const nowMs = this.time.nowMs();
    const kind = nowMs < this.#lastUntilMs ? kindOf(request) : undefined;
    const spent = kind === undefined ? undefined : this.#throttled.get(credentialsKeyOf(request, kind));
    if (kind === undefined || spent === undefined || nowMs >= spent.untilMs) {
      next();
      return;
    }
    const { caller, user, budget, untilMs } = spent;
    // For the log alone: the request goes no further.
    Object.assign(request, { caller, user });
    next(this.#refused(kind, budget, untilMs - nowMs));
  };

  #remember(request: ProviderRequest, kind: RequestKind, spent: Pick<Throttled, 'budget' | 'untilMs'>): void {
    const { caller, user } = request;
    this.#throttled.set(credentialsKeyOf(request, kind), { ...spent, caller, user });
    this.#lastUntilMs = Math.max(this.#lastUntilMs, spent.untilMs);
  }

  #refused(kind: RequestKind, budget: RateLimitExceeded['budget'], retryAfterMs: number): TooManyRequests {
    this.observer?.refused(budget, kind);
    return new TooManyRequests(Math.ceil(retryAfterMs / 1000));
  }
}

/** The Settings routes are called by a user, who is another one where an administrator names them. */
function credentialsKeyOf(request: Request, kind: RequestKind): string {
  const calledBy = operationOf(pathOf(request)) === undefined ? ['user', request.query['user']] : ['app'];
  const naming = NAMING.map((name) => request.headersDistinct[name] ?? []);
  return createHash('sha256')
    .update(JSON.stringify([kind, calledBy, naming]))
    .digest('base64');
}
