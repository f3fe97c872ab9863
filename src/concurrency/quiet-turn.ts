import { Line } from './fair-queue';

/** With no new connection for this long, those that were waiting are accepted. */
const QUIET_MS = 2;
/** A flood of connections delays large work by this much in each `WAIT_EVERY_MS`, and no more. */
const MAX_WAIT_MS = 3;
const WAIT_EVERY_MS = 10;

/** What takes so many bytes at once, by hashing, ciphers or JSON, is a step of its own: a millisecond at most for 256 KiB. */
export const LARGE_STEP_BYTES = 64 * 1024;

/** What comes after what: of the steps that wait, one that is nearer to the end of its answer comes first, so that what was begun is finished. */
const STAGES = ['write', 'hash', 'open', 'parse'] as const;
type Stage = (typeof STAGES)[number];

/** The steps that wait, by stage and whom they are for. */
const lines = new Map<Stage, Line<() => void>>(STAGES.map((stage) => [stage, new Line()]));
let waiting = 0;
let acceptedAtMs = -Infinity;
let waitedAtMs = -Infinity;

/** To be called for each connection that the process accepts. */
export function connectionAccepted(): void {
  acceptedAtMs = performance.now();
}

/**
 * Resolves in a later turn of the event loop, in which it resolves for nobody else: so however many large answers are made, requests wait for
 * one step of one of them. While connections come in it waits a little longer, since Node accepts one in each turn and a step of some
 * milliseconds delays every client that waits to be accepted. To be awaited before each step of large work.
 * @param key whom the work is for: steps of one stage are done by turns among them
 */
export function quietTurn(stage: Stage, key: string): Promise<void> {
  return new Promise((resolve) => {
    lines.get(stage)?.push(key, resolve);
    waiting += 1;
    if (waiting === 1) void doSteps();
  });
}

async function doSteps(): Promise<void> {
  while (waiting > 0) {
    await quiet();
    const step = nextStep();
    waiting -= 1;
    step?.();
  }
}

async function quiet(): Promise<void> {
  const beganMs = performance.now();
  await new Promise(setImmediate);
  if (beganMs - waitedAtMs < WAIT_EVERY_MS) return;
  while (performance.now() - acceptedAtMs < QUIET_MS && performance.now() - beganMs < MAX_WAIT_MS) {
    await new Promise(setImmediate);
    waitedAtMs = performance.now();
  }
}

function nextStep(): (() => void) | undefined {
  for (const line of lines.values()) {
    const step = line.take();
    if (step !== undefined) return step;
  }
  return undefined;
}
