import { setTimeout as pause } from 'node:timers/promises';

/** How long a server takes, and how many calls it serves: a call waits its turn, then takes its time. */
export interface ServiceTimes {
  readonly betweenCallsMs: number;
  readonly loginMs: number;
  readonly projectsMs: number;
  readonly listMs: number;
  readonly retrieveMs: number;
  readonly writeMs: number;
  /** Of the database that the predecessor asks beside it: for each message there and back. */
  readonly databaseMs: number;
}

/** A real server of 2025: 22 ms unloaded, at most 77 reads a second. */
const V3: ServiceTimes = {
  betweenCallsMs: 1000 / 77,
  loginMs: 75,
  projectsMs: 22,
  listMs: 22,
  retrieveMs: 22,
  writeMs: 45,
  databaseMs: 4,
};

/** What Olares ships. What the predecessor's nine exchanges take adds up to the 346 ms that were measured. */
const FORK: ServiceTimes = {
  betweenCallsMs: 1000 / 77,
  loginMs: 75,
  projectsMs: 22,
  listMs: 24,
  retrieveMs: 280,
  writeMs: 300,
  databaseMs: 22 / 5,
};

export const SERVICE_TIMES = { v3: V3, fork: FORK };
export type ServerKind = keyof typeof SERVICE_TIMES;

export class ServiceTimeQueue {
  #nextTurnMs = 0;

  constructor(private readonly times: ServiceTimes) {}

  async serve(method: string, pathname: string): Promise<void> {
    const nowMs = performance.now();
    const turnMs = Math.max(nowMs, this.#nextTurnMs);
    this.#nextTurnMs = turnMs + this.times.betweenCallsMs;
    await pause(turnMs - nowMs + this.#serviceMs(method, pathname));
  }

  #serviceMs(method: string, pathname: string): number {
    if (pathname.endsWith('/login')) return this.times.loginMs;
    if (method !== 'GET') return this.times.writeMs;
    if (!pathname.includes('/secrets')) return this.times.projectsMs;
    return pathname.endsWith('/raw') ? this.times.listMs : this.times.retrieveMs;
  }
}
