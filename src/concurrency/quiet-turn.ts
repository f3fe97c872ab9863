/** With no new connection for this long, those that were waiting are accepted. */
const QUIET_MS = 2;
/** A flood of connections delays large work by this much at each step, and no more. */
const MAX_WAIT_MS = 5;

let acceptedAtMs = -Infinity;

/** To be called for each connection that the process accepts. */
export function connectionAccepted(): void {
  acceptedAtMs = performance.now();
}

/**
 * Resolves in the next turn of the event loop, or in a later one while connections come in: Node accepts one in each turn, so that
 * a step of some milliseconds delays every client that waits to be accepted. To be awaited between the steps of large work.
 */
export async function quietTurn(): Promise<void> {
  const untilMs = performance.now() + MAX_WAIT_MS;
  do await new Promise(setImmediate);
  while (performance.now() - acceptedAtMs < QUIET_MS && performance.now() < untilMs);
}
