import type { InfisicalObserver } from './infisical-observer';
import type { ApiVersionName } from './versions/calls';
import type { LoginCredentials } from './auth/login-method';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../concurrency/keyed-mutex';
import type { RouteOptions } from './transport/transport-route';

export type InfisicalOptions = LoginCredentials & ConnectionOptions;

export interface ConnectionOptions extends Partial<RouteOptions> {
  /** http or https; a path prefix is kept. */
  readonly url: string;
  /** Projects of other organizations are refused. */
  readonly organizationId?: string;
  /** The API version of the server at `url`; detected by default. */
  readonly apiVersion?: ApiVersionName;
  /** The time of one call to Infisical, its body included. */
  readonly requestTimeoutMs?: number;
  /** The time of one operation of the store: waiting, its calls and their retries. */
  readonly operationTimeoutMs?: number;
  /** The maximum size of one answer; answer-body.ts bounds all together. */
  readonly maxAnswerBytes?: number;
  /** The number of projects in memory. */
  readonly maxKnownProjects?: number;
  readonly observer?: InfisicalObserver | undefined;
  /** Needed where other replicas write to the same Infisical. */
  readonly scopeLock?: ScopeLock;
}

export const DEFAULTS = {
  requestTimeoutMs: 8_000,
  operationTimeoutMs: 20_000,
  maxConnections: 16,
  maxAnswerBytes: 8 * 1024 * 1024,
  maxKnownProjects: 10_000,
  scopeLock: NO_OTHER_REPLICA,
} as const satisfies Partial<InfisicalOptions>;
