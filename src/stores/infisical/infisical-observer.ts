import { type ApiVersionName, type CallLabel, type FailureReason, meaningOf } from './versions/calls';

/** One request to Infisical; every field may be shown. */
export interface ObservedCall {
  readonly call: CallLabel;
  readonly method: string;
  readonly pathTemplate: string;
}

/**
 * `ok`, also for a refusal that is a correct answer, such as a missing secret; `cancelled` where nobody waited for the answer any
 * more; otherwise the reason of the failure.
 */
type CallOutcome = 'ok' | 'cancelled' | FailureReason;

export interface CallUnderWay {
  /** Sent with the call. */
  readonly headers: Readonly<Record<string, string>>;
  ended(outcome: CallOutcome, status?: number): void;
}

/** Figures that can be read at any time. */
export interface InfisicalFigures {
  apiVersion(): ApiVersionName | undefined;
  /** Milliseconds since the epoch; 0 where a session was lost, undefined before the first. */
  sessionEndsAtMs(): number | undefined;
  /** The number of calls that wait for a permit under the server's rate limits. */
  callsWaiting(): number;
  /** The number of writes that wait for others, and of those that have begun. */
  writes(): { readonly waiting: number; readonly underWay: number };
}

/** Observes the adapter's calls. It gets no value, name or token. */
export interface InfisicalObserver {
  /** Called once, when the store is made. */
  opened(figures: InfisicalFigures): void;
  /** A call has its permit and is about to be sent. */
  callBegins(call: ObservedCall): CallUnderWay;
  /** A call had to wait for its permit under the rate limits. */
  waitedForPermit(waitedMs: number): void;
  /** A call was refused unsent, since there would be no permit for it in time. */
  permitRefused(): void;
}

export function outcomeOf(reason: FailureReason | undefined): CallOutcome {
  return reason === undefined || meaningOf(reason).isOrdinary ? 'ok' : reason;
}
