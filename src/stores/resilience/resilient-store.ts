import type { ScopeSource } from '../../secrets/secret-store';
import type { StoreAdapter } from '../../secrets/secret-store-decorator';
import { CircuitBreakerSecretStore, type CircuitBreakerDeps } from './circuit-breaker.secret-store';
import { ConcurrencyLimitSecretStore, QUEUE_BOUNDS } from './concurrency-limit.secret-store';

/** The share of an operation's time that it may wait in the queue; the rest is for its own calls. */
const WAIT_SHARE = 3 / 4;

/**
 * Puts a remote store behind a queue and a circuit breaker.
 * @param timeoutMs the time of one operation, its wait in the queue included
 */
export function resilientStore(
  store: StoreAdapter & ScopeSource,
  timeoutMs: number,
  deps: CircuitBreakerDeps,
): StoreAdapter & ScopeSource {
  const maxWaitMs = timeoutMs * WAIT_SHARE;
  const bounds = { ...QUEUE_BOUNDS, maxWaitMs, reserveMs: timeoutMs - maxWaitMs };
  const limited = new ConcurrencyLimitSecretStore(store, bounds, deps.time, deps.observer);
  return new CircuitBreakerSecretStore(limited, deps);
}
