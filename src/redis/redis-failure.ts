/** How a lock was obtained: `held`; `alone`: without Redis; `late`: another replica held it too long; `lost` while it was held. */
export type LockOutcome = 'held' | 'alone' | 'late' | 'lost';

export interface RedisObserver {
  /** Called with whether both connections work, at each change. */
  connected(isUp: boolean): void;
  locked(outcome: LockOutcome): void;
}

/** A failure of the client or of Redis, without the error itself: those of ioredis contain commands with their arguments. */
export type RedisFailure =
  | 'unreachable'
  | 'timedOut'
  | 'connectionLost'
  | 'credentialsRefused'
  | 'permissionDenied'
  | 'certificateRefused'
  | 'tlsFailed'
  | 'refused';

/** The first pattern that matches the error's code, or its message, decides. */
const FAILURES: readonly (readonly [RegExp, RedisFailure])[] = [
  [/\b(WRONGPASS|NOAUTH)\b|invalid password|without any password/, 'credentialsRefused'],
  [/\bNOPERM\b/, 'permissionDenied'],
  [/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$|sentinels are unreachable/, 'unreachable'],
  [/^ETIMEDOUT$|timed out/, 'timedOut'],
  [/CERT|SIGNED|UNABLE_TO|ALTNAME/, 'certificateRefused'],
  [/^(ERR_TLS|ERR_SSL|EPROTO)/, 'tlsFailed'],
  [/^(ECONNRESET|EPIPE)$|^Connection is closed|writeable/, 'connectionLost'],
];

/** Classifies an error of the client or of Redis. */
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

/** Thrown where Redis did not execute a command, or did not confirm it in time. It contains nothing of the foreign error. */
export class RedisUnavailable extends Error {
  constructor(readonly why: RedisFailure) {
    super(`Redis is not available (${why}).`);
    this.name = 'RedisUnavailable';
  }
}
