import type { CallLabel, DialectName } from './versions/api-version';
import type { FailureReason } from './versions/failure-reason';
import type { Credentials } from './auth/login-method';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../concurrency/keyed-mutex';
import type { RouteOptions } from './transport/transport-route';

/** One call as it goes over the wire; all of it may be shown. */
export interface ObservedCall {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
}

/** `ok`, also for a refusal that is the right answer, as that there is no such secret; otherwise what went wrong. */
type CallOutcome = 'ok' | FailureReason;

export interface CallUnderWay {
  /** Sent with the call. */
  readonly headers: Readonly<Record<string, string>>;
  ended(outcome: CallOutcome, status?: number): void;
}

/** What can be looked up at any time, at no cost before. */
export interface InfisicalFigures {
  dialect(): DialectName | undefined;
  /** Milliseconds since the epoch; 0 where a session was lost, undefined before the first. */
  sessionEndsAtMs(): number | undefined;
  /** Calls that wait for room under the server's rate limits. */
  callsWaiting(): number;
  /** Writes that wait for their turn, and those that have it. */
  writes(): { readonly waiting: number; readonly underWay: number };
}

/** Whoever wants to know how the adapter and Infisical get along. It learns no value, name or token. */
export interface InfisicalObserver {
  /** Once, when the store is made. */
  opened(figures: InfisicalFigures): void;
  /** When a call's turn has come. */
  callBegins(call: ObservedCall): CallUnderWay;
  /** A call had to wait for room under the rate limits. */
  waitedForTurn(waitedMs: number): void;
  /** A call was refused since there would be no room for it in time; it was not sent. */
  turnRefused(): void;
}

/** Refusals that are an answer like any other: Infisical did what it is there for. */
const ORDINARY = /^(notFound:|alreadyExists:|conflict$|invalidRequest$|nameRefused$|tooLarge$|tokenDead$)/;

export function outcomeOf(reason: FailureReason | undefined): CallOutcome {
  return reason === undefined || ORDINARY.test(reason) ? 'ok' : reason;
}

/** Events and fields only: no value, no token, no foreign error, and no name but that of a value that cannot be read. */
export type Log = (event: string, fields: Readonly<Record<string, string | number>>) => void;

export type InfisicalOptions = Credentials & ConnectionOptions;

export interface ConnectionOptions extends Partial<RouteOptions> {
  /** http or https; a path prefix is kept. */
  readonly url: string;
  /** When given, a project of another organization is refused. */
  readonly organizationId?: string;
  /** Which generation answers at `url`; found out where it is not told. */
  readonly dialect?: DialectName;
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
