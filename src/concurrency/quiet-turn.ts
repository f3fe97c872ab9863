/** Nobody else connects, or they are accepted by now. */
const QUIET_MS = 2;
/** Who floods with connections delays large work by this much at each step. */
const LONGEST_MS = 5;

let acceptedAtMs = -Infinity;

/** To be told of each connection that the process accepts. */
export function connectionAccepted(): void {
  acceptedAtMs = performance.now();
}

/**
 * The next turn of the event loop, or a later one while connections come in: Node accepts one in each turn, so that a step of some
 * milliseconds delays all who are waiting to be accepted. To be awaited between the steps of large work.
 */
export async function quietTurn(): Promise<void> {
  const untilMs = performance.now() + LONGEST_MS;
  do await new Promise(setImmediate);
  while (performance.now() - acceptedAtMs < QUIET_MS && performance.now() < untilMs);
}
