/** What all requests share: how many are worked on, the memory of their bodies, that of their answers. */
export type SharedBound = 'in_flight' | 'bodies' | 'answers';

/** Why an authenticated caller was told to come later: a budget is spent, or the caller holds its share already. */
export type RefusedFor = RateLimitExceeded['budget'] | SharedBound;

/** Why a request was refused whoever sent it. */
export type ShedFor = SharedBound | 'event_loop' | 'queue' | 'connections';

export interface LoadFigures {
  readonly inFlight: number;
  readonly bodyBytes: number;
  readonly answerBytes: number;
}

/** Whoever wants to know whom the bounds of load meet. */
export interface LimitsObserver {
  opened(figures: () => LoadFigures): void;
  connectionsOpened(count: () => number): void;
  refused(why: RefusedFor, kind: RequestKind): void;
  shed(why: ShedFor): void;
}

export type RequestKind = 'read' | 'write';

/** On whose account a request goes: an app of a user, or a user alone, who calls for themself. */
export interface RateLimitSubject {
  readonly app?: string;
  readonly user: string;
}

export interface RateLimitExceeded {
  /** Whose budget it was that is spent. */
  readonly budget: 'app' | 'user';
  /** When there will be room for one more request, if no other takes it. */
  readonly retryAfterMs: number;
}

/** How many requests of each kind an app, and all apps of a user together with the user, may make. */
export abstract class RateLimits {
  /** Takes one request from the app's budget and the user's, or from neither. Undefined: go on. */
  abstract take(
    kind: RequestKind,
    rateLimitSubject: RateLimitSubject,
  ): RateLimitExceeded | undefined | Promise<RateLimitExceeded | undefined>;

  /** Takes so many requests more for one that turned out to cost as much. What is not there is owed. */
  abstract charge(kind: RequestKind, rateLimitSubject: RateLimitSubject, requests: number): void;
}

export interface RateLimit {
  readonly perSecond: number;
  /** How many requests may come at once after a while of none. */
  readonly burst: number;
}

/** No more is owed than a burst, or what drips in within ten seconds. */
export function mostOwed({ perSecond, burst }: RateLimit): number {
  return Math.max(burst, 10 * perSecond);
}

/** What is absent is not limited. */
export interface RateLimitsByKind {
  readonly app: Readonly<Partial<Record<RequestKind, RateLimit>>>;
  readonly user: Readonly<Partial<Record<RequestKind, RateLimit>>>;
}

/**
 * Whose budget a spender draws on; an app is another one for each user that has it: the length parts the two names.
 * Undefined: on no such.
 */
export function accountOf(
  budget: RateLimitExceeded['budget'],
  { app, user }: RateLimitSubject,
): string | undefined {
  if (budget === 'user') return user;
  return app === undefined ? undefined : `${user.length}:${user}${app}`;
}
