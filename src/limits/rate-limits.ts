/** The capacities that all requests share: the number in flight, the memory for bodies, the memory for answers. */
export type SharedBound = 'in_flight' | 'bodies' | 'answers';

/** Why an authenticated caller got 429: its rate limit is exceeded, or it already holds its share. */
export type RefusedFor = RateLimitExceeded['budget'] | SharedBound;

/** Why a request was refused regardless of its sender. */
export type ShedFor = SharedBound | 'event_loop' | 'queue' | 'connections';

export interface LoadFigures {
  readonly inFlight: number;
  readonly bodyBytes: number;
  readonly answerBytes: number;
}

/** Observes the load and the requests that its bounds refuse. */
export interface LimitsObserver {
  opened(figures: () => LoadFigures): void;
  connectionsOpened(count: () => number): void;
  refused(why: RefusedFor, kind: RequestKind): void;
  shed(why: ShedFor): void;
}

export type RequestKind = 'read' | 'write';

/** Whose rate limits a request counts against: an app of a user, or a user who calls without an app. */
export interface RateLimitSubject {
  readonly app?: string;
  readonly user: string;
}

export interface RateLimitExceeded {
  /** Whose limit was exceeded. */
  readonly budget: 'app' | 'user';
  /** When one more request will be allowed, if no other takes its place. */
  readonly retryAfterMs: number;
}

/** Limits the requests of each kind that an app makes, and those that a user and all the user's apps make together. */
export abstract class RateLimits {
  /** Counts one request against the app's limit and the user's, or against neither. Returns undefined where it is allowed. */
  abstract take(
    kind: RequestKind,
    subject: RateLimitSubject,
  ): RateLimitExceeded | undefined | Promise<RateLimitExceeded | undefined>;

  /** Counts so many more requests for one that turned out to cost as much; they may leave a debt. */
  abstract charge(kind: RequestKind, subject: RateLimitSubject, requests: number): void;
}

export interface RateLimit {
  readonly perSecond: number;
  /** How many requests may come at once after a pause. */
  readonly burst: number;
}

/** Returns the largest debt: a burst, or the tokens of ten seconds where those are more. */
export function maxDebt({ perSecond, burst }: RateLimit): number {
  return Math.max(burst, 10 * perSecond);
}

/** An absent limit does not limit. */
export interface RateLimitsByKind {
  readonly app: Readonly<Partial<Record<RequestKind, RateLimit>>>;
  readonly user: Readonly<Partial<Record<RequestKind, RateLimit>>>;
}

/**
 * Returns the name of the account that a request counts against, undefined where there is none. An app has an account for
 * each user; the length separates the two names, so that no two accounts have the same name.
 */
export function accountOf(
  budget: RateLimitExceeded['budget'],
  { app, user }: RateLimitSubject,
): string | undefined {
  if (budget === 'user') return user;
  return app === undefined ? undefined : `${user.length}:${user}${app}`;
}
