/** How the lock of a scope went: `held`; `alone`, without Redis; `late`, somebody else had it too long; `lost` while it was held. */
export type LockOutcome = 'held' | 'alone' | 'late' | 'lost';

/** Whoever wants to know how we and Redis get along. */
export interface RedisObserver {
  /** Whether both connections work; told at each change. */
  connected(isUp: boolean): void;
  locked(outcome: LockOutcome): void;
}

/** All that is kept of an error of the client or of Redis: those of ioredis carry commands with their arguments. */
export type RedisFailure =
  | 'unreachable'
  | 'timedOut'
  | 'connectionLost'
  | 'credentialsRefused'
  | 'permissionDenied'
  | 'certificateRefused'
  | 'tlsFailed'
  | 'refused';

/** In the order in which they are tried, by the error's code or the first word of Redis' answer. */
const FAILURES: readonly (readonly [RegExp, RedisFailure])[] = [
  [/\b(WRONGPASS|NOAUTH)\b|invalid password|without any password/, 'credentialsRefused'],
  [/\bNOPERM\b/, 'permissionDenied'],
  [/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$|sentinels are unreachable/, 'unreachable'],
  [/^ETIMEDOUT$|timed out/, 'timedOut'],
  [/CERT|SIGNED|UNABLE_TO|ALTNAME/, 'certificateRefused'],
  [/^(ERR_TLS|ERR_SSL|EPROTO)/, 'tlsFailed'],
  [/^(ECONNRESET|EPIPE)$|^Connection is closed|writeable/, 'connectionLost'],
];

export function redisFailureOf(error: unknown): RedisFailure {
  if (error instanceof RedisUnavailable) return error.why;
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  for (const text of [code, message]) {
    if (typeof text !== 'string') continue;
    const known = FAILURES.find(([pattern]) => pattern.test(text))?.[1];
    if (known !== undefined) return known;
  }
  return 'refused';
}

/** Redis did not do it, or did not say so in time. Nothing of the foreign error is in it. */
export class RedisUnavailable extends Error {
  constructor(readonly why: RedisFailure) {
    super(`Redis is not available (${why}).`);
    this.name = 'RedisUnavailable';
  }
}
