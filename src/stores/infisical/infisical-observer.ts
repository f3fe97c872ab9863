import type { FailureReason } from './versions/failure-reason';
import type { ApiVersionName, CallLabel } from './versions/calls';

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
  apiVersion(): ApiVersionName | undefined;
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
  waitedForPermit(waitedMs: number): void;
  /** A call was refused since there would be no room for it in time; it was not sent. */
  permitRefused(): void;
}

/** Refusals that are an answer like any other: Infisical did what it is there for. */
const ORDINARY = /^(notFound:|alreadyExists:|conflict$|invalidRequest$|nameRefused$|tooLarge$|tokenDead$)/;

export function outcomeOf(reason: FailureReason | undefined): CallOutcome {
  return reason === undefined || ORDINARY.test(reason) ? 'ok' : reason;
}
