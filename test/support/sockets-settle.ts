import { setImmediate, setTimeout } from 'node:timers/promises';

/** How often the sockets of this process are looked at, at least: a request to a server in it, and its answer, take some of these turns. */
const TURNS = 20;

/** Waits while no fixed time passes: a time in which this process stood still would leave its sockets no turn. */
export async function socketsSettle(ms = 15): Promise<void> {
  await setTimeout(ms);
  for (let turn = 0; turn < TURNS; turn++) await setImmediate();
}
