import type { InfisicalObserver } from './infisical-observer';
import type { ApiVersionName } from './versions/calls';
import type { LoginCredentials } from './auth/login-method';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../concurrency/keyed-mutex';
import type { RouteOptions } from './transport/transport-route';

export type InfisicalOptions = LoginCredentials & ConnectionOptions;

export interface ConnectionOptions extends Partial<RouteOptions> {
  /** http or https; a path prefix is kept. */
  readonly url: string;
  /** When given, a project of another organization is refused. */
  readonly organizationId?: string;
  /** Which generation answers at `url`; found out where it is not told. */
  readonly apiVersion?: ApiVersionName;
  /** One call to Infisical, its body included. */
  readonly requestTimeoutMs?: number;
  /** One operation of the store: its wait in line, its calls and their retries. */
  readonly operationTimeoutMs?: number;
  /** One answer, in bytes; see answer-body.ts for all together. */
  readonly maxAnswerBytes?: number;
  /** Project ids kept in memory. */
  readonly maxKnownProjects?: number;
  readonly observer?: InfisicalObserver;
  /** Where other replicas write to the same Infisical. */
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
