import { API_VERSIONS, type ApiVersion } from './api-version';
import type { ApiVersionName, Route } from './calls';
import type { Clock } from '../../../time/clock';
import { classifyFailure } from './failure-reason';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { InfisicalClient, TransportAnswer } from '../transport/infisical-client';
import type { LogEvent } from '../../../logging/log';
import { SingleFlight } from '../../../concurrency/single-flight';

/** Knows which generation of Infisical answers. */
export interface ApiVersionSource {
  /** As far as it was found out already. */
  known(): ApiVersion | undefined;
  /** @throws InfisicalCallFailed where it has to be found out and cannot */
  current(): Promise<ApiVersion>;
  /**
   * After an answer that does not fit `doubted`: the dialect to go on with, the same where there is no other.
   * @throws InfisicalCallFailed
   */
  reconsidered(suspected: ApiVersion): Promise<ApiVersion>;
}

/** Told by whoever opened the store, and never doubted. */
export function fixedApiVersion(name: ApiVersionName): ApiVersionSource {
  const apiVersion = API_VERSIONS[name];
  const always = () => Promise.resolve(apiVersion);
  return { known: () => apiVersion, current: always, reconsidered: always };
}

/** Where doubts led to the same dialect again, as with a right that is missing, they do not cost two calls each time. */
const SAME_AGAIN_MS = 60_000;
/** Nor where a server in trouble could not be asked. */
const ASKED_IN_VAIN_MS = 5_000;

/** The first call tells v4 from the others, the second fork from v3: both are refused, for want of a bearer. */
const NEWEST: Route = API_VERSIONS.v4.routes.listSecrets;
const OLDER: Route = API_VERSIONS.v3.routes.ping;

/** Finds out which server it is by what it answers to nobody in particular; no server tells its version. */
export class ApiVersionProbe implements ApiVersionSource {
  readonly #probes = new SingleFlight<ApiVersion>();
  #met: ApiVersion | undefined;
  #sureUntilMs = 0;

  constructor(
    private readonly client: InfisicalClient,
    private readonly requestTimeoutMs: number,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {}

  known(): ApiVersion | undefined {
    return this.#met;
  }

  async current(): Promise<ApiVersion> {
    return this.#met ?? this.#probes.run('probe', () => this.#probe());
  }

  async reconsidered(suspected: ApiVersion): Promise<ApiVersion> {
    if (this.#met !== undefined && this.#met !== suspected) return this.#met;
    const nowMs = this.clock.nowMs();
    // A clock that was set back must not keep the doubt away for longer.
    if (nowMs < this.#sureUntilMs && this.#sureUntilMs - nowMs <= SAME_AGAIN_MS) return suspected;
    let restMs = ASKED_IN_VAIN_MS;
    try {
      const met = await this.#probes.run('probe', () => this.#probe());
      restMs = met === suspected ? SAME_AGAIN_MS : 0;
      return met;
    } finally {
      this.#sureUntilMs = this.clock.nowMs() + restMs;
    }
  }

  async #probe(): Promise<ApiVersion> {
    const newest = await this.#ask(NEWEST);
    const name = isRouteNotFound(newest) ? olderOf(await this.#ask(OLDER)) : newestOf(newest);
    if (this.#met?.name !== name) this.log('info', 'infisical_api_version_detected', { apiVersion: name });
    this.#met = API_VERSIONS[name];
    return this.#met;
  }

  /** Without a bearer: an old one would be looked at first. */
  #ask({ method, path }: Route): Promise<TransportAnswer> {
    const timeoutMs = this.requestTimeoutMs;
    return this.client.send({ call: 'probe', method, pathTemplate: path, target: path, timeoutMs });
  }
}

function isRouteNotFound({ status, body }: TransportAnswer): boolean {
  return classifyFailure(API_VERSIONS.v3.failures, undefined, status, body) === 'routeNotFound';
}

/** Only a refusal in Infisical's own form proves that the route is there; a proxy's page proves nothing. */
function newestOf(answer: TransportAnswer): ApiVersionName {
  const { status } = answer;
  if ((status === 401 || status === 403 || status === 422) && errorOf(answer) !== undefined) return 'v4';
  throw undecided(NEWEST, answer);
}

function olderOf(answer: TransportAnswer): ApiVersionName {
  const error = errorOf(answer);
  if (answer.status === 403 && error === 'Unauthorized access') return 'fork';
  if (answer.status === 401 && error === 'UnauthorizedError') return 'v3';
  throw undecided(OLDER, answer);
}

function errorOf({ body }: TransportAnswer): string | undefined {
  const error: unknown =
    typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  return typeof error === 'string' ? error : undefined;
}

function undecided(
  { method, path }: Route,
  { status, body, retryAfterMs }: TransportAnswer,
): InfisicalCallFailed {
  const reason = classifyFailure([], undefined, status, body);
  return new InfisicalCallFailed({
    call: 'probe',
    method,
    pathTemplate: path,
    status,
    reason,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
