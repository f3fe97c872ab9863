/** With no new connection for this long, those that were waiting are accepted. */
const QUIET_MS = 2;
/** A flood of connections delays large work by this much at each step, and no more. */
const MAX_WAIT_MS = 3;

/** What takes so many bytes at once, by hashing, ciphers or JSON, is a step of its own: a millisecond at most for 256 KiB. */
export const LARGE_STEP_BYTES = 64 * 1024;

let acceptedAtMs = -Infinity;
let lastStep: Promise<void> = Promise.resolve();

/** To be called for each connection that the process accepts. */
export function connectionAccepted(): void {
  acceptedAtMs = performance.now();
}

/**
 * Resolves in a later turn of the event loop, in which it resolves for nobody else: so however many large answers are made, requests wait for
 * one step of one of them. While connections come in it waits a little longer, since Node accepts one in each turn and a step of some
 * milliseconds delays every client that waits to be accepted. To be awaited before each step of large work.
 */
export function quietTurn(): Promise<void> {
  lastStep = lastStep.then(nextQuietTurn);
  return lastStep;
}

async function nextQuietTurn(): Promise<void> {
  const untilMs = performance.now() + MAX_WAIT_MS;
  do await new Promise(setImmediate);
  while (performance.now() - acceptedAtMs < QUIET_MS && performance.now() < untilMs);
}
