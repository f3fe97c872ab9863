import { fieldsOf } from '../../../json/json';
import { SingleFlight } from '../../../concurrency/keyed-work';
import type { LogEvent } from '../../../logging/log';
import type { Clock } from '../../../time/clock';
import type { InfisicalClient, TransportAnswer } from '../transport/infisical-client';
import { API_VERSIONS, type ApiVersion } from './api-version';
import { type ApiVersionName, type Route, classifyFailure } from './calls';
import { InfisicalCallFailed } from './infisical-call-failed';

/** Provides the API version of the Infisical server. */
export interface ApiVersionSource {
  /** Returns undefined where it was not detected yet. */
  known(): ApiVersion | undefined;
  /** Detects the version where it is not known yet. @throws InfisicalCallFailed */
  current(): Promise<ApiVersion>;
  /** Detects the version again, after an answer that does not fit `suspected`; returns `suspected` where it is confirmed. @throws InfisicalCallFailed */
  redetect(suspected: ApiVersion): Promise<ApiVersion>;
}

/** Provides the API version that a setting names. */
export function fixedApiVersion(name: ApiVersionName): ApiVersionSource {
  const apiVersion = API_VERSIONS[name];
  const always = () => Promise.resolve(apiVersion);
  return { known: () => apiVersion, current: always, redetect: always };
}

/** A version that was confirmed is not detected again for so long, since an answer may never fit, as where a right is missing. */
const CONFIRMED_MS = 60_000;
/** Nor is it for so long after a detection that failed. */
const RETRY_AFTER_MS = 5_000;

/** The first call tells v4 from the others, the second tells the fork from v3. Both are refused, as they carry no token. */
const NEWEST: Route = API_VERSIONS.v4.routes.listSecrets;
const OLDER: Route = API_VERSIONS.v3.routes.ping;

/** Detects the API version by how calls without a token are refused: no server reports its version. */
export class ApiVersionProbe implements ApiVersionSource {
  readonly #probes = new SingleFlight<ApiVersion>();
  #detected: ApiVersion | undefined;
  #validUntilMs = 0;

  constructor(
    private readonly client: InfisicalClient,
    private readonly requestTimeoutMs: number,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {}

  known(): ApiVersion | undefined {
    return this.#detected;
  }

  async current(): Promise<ApiVersion> {
    return this.#detected ?? this.#probes.run('probe', () => this.#probe());
  }

  async redetect(suspected: ApiVersion): Promise<ApiVersion> {
    if (this.#detected !== undefined && this.#detected !== suspected) return this.#detected;
    const nowMs = this.clock.nowMs();
    // A clock that was set back must not extend the time.
    if (nowMs < this.#validUntilMs && this.#validUntilMs - nowMs <= CONFIRMED_MS) return suspected;
    let validMs = RETRY_AFTER_MS;
    try {
      const detected = await this.#probes.run('probe', () => this.#probe());
      validMs = detected === suspected ? CONFIRMED_MS : 0;
      return detected;
    } finally {
      this.#validUntilMs = this.clock.nowMs() + validMs;
    }
  }

  async #probe(): Promise<ApiVersion> {
    const newest = await this.#send(NEWEST);
    const name = isRouteNotFound(newest) ? olderOf(await this.#send(OLDER)) : newestOf(newest);
    if (this.#detected?.name !== name)
      this.log('info', 'infisical_api_version_detected', { apiVersion: name });
    this.#detected = API_VERSIONS[name];
    return this.#detected;
  }

  /** Sends no token: the server would check an old one first. */
  #send({ method, path }: Route): Promise<TransportAnswer> {
    const timeoutMs = this.requestTimeoutMs;
    return this.client.send({ call: 'probe', method, pathTemplate: path, target: path, timeoutMs });
  }
}

function isRouteNotFound({ status, body }: TransportAnswer): boolean {
  return classifyFailure(API_VERSIONS.v3.failures, undefined, status, body) === 'routeNotFound';
}

/** Only a refusal in Infisical's own form proves that the route exists; a proxy's page proves nothing. */
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
  const { error } = fieldsOf(body);
  return typeof error === 'string' ? error : undefined;
}

function undecided(
  { method, path }: Route,
  { status, body, retryAfterMs }: TransportAnswer,
): InfisicalCallFailed {
  const reason = classifyFailure([], undefined, status, body);
  return new InfisicalCallFailed({ call: 'probe', method, pathTemplate: path, status, reason, retryAfterMs });
}
