import type { SecretStore } from '../../secrets/secret-store';
import { CircuitBreakerSecretStore, type CircuitBreakerDeps } from './circuit-breaker.secret-store';
import { QUEUE_BOUNDS, ConcurrencyLimitSecretStore } from './concurrency-limit.secret-store';

/** What of an operation's time may be spent in the line: the rest is for its own calls. */
const WAIT_SHARE = 3 / 4;

/**
 * A store on the other end of a wire, behind a queue and a breaker.
 * @param timeoutMs what one operation may take, its wait in the line included
 */
export function resilientStore(store: SecretStore, timeoutMs: number, deps: CircuitBreakerDeps): SecretStore {
  const options = { ...QUEUE_BOUNDS, maxWaitMs: timeoutMs * WAIT_SHARE };
  const queued = new ConcurrencyLimitSecretStore(store, options, deps.time, deps.observer);
  return new CircuitBreakerSecretStore(queued, deps);
}
