import type { SecretStore } from '../secrets/secret-store';
import { GuardedSecretStore, type BreakerSurroundings } from './guarded.secret-store';
import { QUEUE_BOUNDS, QueuedSecretStore } from './queued.secret-store';

const MAX_WAIT_MS = 5_000;

/**
 * A store on the other end of a wire, behind a queue and a breaker.
 * @param timeoutMs what one operation may take; at most half of it is spent in the line
 */
export function protectedStore(
  store: SecretStore,
  timeoutMs: number,
  surroundings: BreakerSurroundings,
): SecretStore {
  const options = { ...QUEUE_BOUNDS, maxWaitMs: Math.min(MAX_WAIT_MS, timeoutMs / 2) };
  const queued = new QueuedSecretStore(store, options, surroundings.time, surroundings.observer);
  return new GuardedSecretStore(queued, surroundings);
}
