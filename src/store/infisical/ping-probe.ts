import type { Clock } from '../../clock/clock';
import type { MonotonicTime } from '../../clock/monotonic-time';
import type { StoreUnavailable } from '../../errors/store-errors';
import { parseProject, parseProjects } from './answers';
import { deadlineIn } from './deadline';
import type { InfisicalApi } from './infisical-api';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { Log } from './infisical-options';
import { SingleFlight } from './single-flight';
import { notReadyBecause } from './store-failure';

/** However often readiness asks, Infisical is asked this often. */
const REMEMBERED_MS = 5_000;
const PROBE_TIMEOUT_MS = 5_000;

interface Finding {
  readonly atMs: number;
  readonly failure: StoreUnavailable | undefined;
}

/** Asks for something that needs a live token and a live database and changes nothing; `/api/status` shows neither. */
export class PingProbe {
  readonly #probes = new SingleFlight<Finding>();
  #last: Finding | undefined;

  constructor(
    private readonly api: InfisicalApi,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: Log,
  ) {}

  /** @throws StoreUnavailable with words for an operator */
  async ping(): Promise<void> {
    const { failure } = this.#remembered() ?? (await this.#probes.run('ping', () => this.#probe()));
    if (failure !== undefined) throw failure;
  }

  #remembered(): Finding | undefined {
    const ageMs = this.clock.nowMs() - (this.#last?.atMs ?? -Infinity);
    // A clock that was set back makes nothing recent.
    return ageMs >= 0 && ageMs < REMEMBERED_MS ? this.#last : undefined;
  }

  async #probe(): Promise<Finding> {
    const failure = await this.#failure();
    this.#last = { atMs: this.clock.nowMs(), failure };
    return this.#last;
  }

  async #failure(): Promise<StoreUnavailable | undefined> {
    try {
      await this.api.call(
        'ping',
        () => ({}),
        (answer) => parseProjects(answer) ?? parseProject(answer),
        deadlineIn(PROBE_TIMEOUT_MS, this.time),
      );
      return undefined;
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      if (this.api.knownDialect()?.aliveReasons.includes(error.reason) === true) return undefined;
      this.log('infisical.ping.failed', { reason: error.reason, status: error.status ?? 0 });
      return notReadyBecause(error);
    }
  }
}
