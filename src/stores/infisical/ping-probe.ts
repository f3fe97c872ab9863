import type { Clock, MonotonicTime } from '../../time/clock';
import { StoreUnavailable } from '../../errors/store-errors';
import { parseProject, parseProjects } from './api/answers';
import { type CallContext, UNATTENDED } from '../../secrets/call-context';
import { deadlineIn } from '../../time/deadline';
import type { InfisicalApi } from './api/infisical-api';
import { InfisicalCallFailed } from './versions/infisical-call-failed';
import type { TransportAnswer } from './transport/infisical-client';
import type { LogEvent } from '../../logging/log';
import { OTHER_ORGANIZATION, type OrganizationCheck } from './projects/organization-check';
import { SingleFlight } from '../../concurrency/single-flight';
import { notReadyBecause } from './operations';

/** Infisical is pinged at most this often, however often readiness asks. */
const RESULT_TTL_MS = 5_000;
const PROBE_TIMEOUT_MS = 5_000;

type PingResult = Readonly<{ atMs: number; failure: StoreUnavailable | undefined }>;

/** Pings Infisical by a read that needs a valid token and a working database; `/api/status` needs neither. */
export class PingProbe {
  readonly #probes = new SingleFlight<PingResult>();
  #last: PingResult | undefined;

  constructor(
    private readonly api: InfisicalApi,
    private readonly organization: OrganizationCheck,
    private readonly deps: Readonly<{ clock: Clock; time: MonotonicTime; log: LogEvent }>,
  ) {}

  /** @throws StoreUnavailable with a message for an operator */
  async ping(): Promise<void> {
    const { failure } = this.#recent() ?? (await this.#probes.run('ping', () => this.#probe()));
    if (failure !== undefined) throw failure;
  }

  #recent(): PingResult | undefined {
    const ageMs = this.deps.clock.nowMs() - (this.#last?.atMs ?? -Infinity);
    // After the clock was set back, nothing is recent.
    return ageMs >= 0 && ageMs < RESULT_TTL_MS ? this.#last : undefined;
  }

  async #probe(): Promise<PingResult> {
    const failure = await this.#failure();
    this.#last = { atMs: this.deps.clock.nowMs(), failure };
    return this.#last;
  }

  async #failure(): Promise<StoreUnavailable | undefined> {
    const deadline = deadlineIn(PROBE_TIMEOUT_MS, this.deps.time);
    const context = { deadline, signal: UNATTENDED.signal };
    try {
      await this.#send(context);
      await this.organization.require(context);
      return undefined;
    } catch (error: unknown) {
      if (error instanceof StoreUnavailable) return new StoreUnavailable(OTHER_ORGANIZATION);
      if (!(error instanceof InfisicalCallFailed)) throw error;
      const failure = notReadyBecause(error);
      const { reason, status = 0 } = error;
      this.deps.log('warn', 'infisical_ping_failed', { reason, status, advice: failure.message });
      return failure;
    }
  }

  /** A refusal that arrives here proves that the server works. */
  async #send(context: CallContext): Promise<void> {
    const parse = (body: unknown, { status }: TransportAnswer) =>
      status < 300 ? (parseProjects(body) ?? parseProject(body)) : body;
    await this.api.call('ping', () => ({}), parse, context);
  }
}
