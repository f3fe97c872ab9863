import type { AnswerFault } from '../../support/fake-infisical/fake-faults';
import { ECHO } from './canary';

export type Operation = 'retrieve' | 'list' | 'create' | 'update' | 'delete' | 'ping';

/** The class of the error, a wait in seconds where it names one, or `done`. */
export type Outcome =
  | 'ListTooLarge'
  | 'done'
  | 'SecretNotFound'
  | 'StoreUnavailable'
  | 'StoreOutcomeUnknown'
  | `TooManyRequests ${number}`;

/** How an operation ends, and how many calls it makes for that. */
export interface OperationResult {
  readonly outcome: Outcome;
  /** How often the operation's own call is sent. */
  readonly sent: number;
  /** For a write of unknown outcome: how often the scope is listed to see whether it was carried out. */
  readonly verifications?: number;
  readonly logins?: number;
  /** Calls that find out the API version. */
  readonly probes?: number;
}

/** The results of all reads, all writes and pings, and of the operations that differ from the others of their kind. */
export type ExpectedResults = {
  readonly read: OperationResult;
  readonly write: OperationResult;
  readonly ping: OperationResult;
} & {
  readonly [operation in Operation]?: OperationResult;
};

/** A fault of an answer, with the results that it must lead to. */
export interface WireFault {
  readonly fault: (when: 'before' | 'after') => AnswerFault;
  /** No answer ends the call, so that its timeout must. */
  readonly unanswered?: true;
  /** Every call fails from now on. */
  readonly always: ExpectedResults;
  /** Only the next call fails, without being carried out. */
  readonly once: ExpectedResults;
  /** Only the next call fails, and was carried out; undefined for what a server never does after its work. */
  readonly carriedOut?: OperationResult;
  /** Every call fails, of a process that has just started: it never finds out the API version. */
  readonly cold: ExpectedResults;
  /** How long the server refuses, as it said or as is assumed, in milliseconds. */
  readonly recoversAfterMs?: number;
}

export const result = (outcome: Outcome, sent: number, verifications = 0): OperationResult => ({
  outcome,
  sent,
  verifications,
});
const unavailable = (sent: number): OperationResult => result('StoreUnavailable', sent);
const indeterminate = (verifications: number): OperationResult =>
  result('StoreOutcomeUnknown', 1, verifications);

const answer =
  (status: number, raw: string, headers: Readonly<Record<string, string>> = {}) =>
  (when: 'before' | 'after'): AnswerFault => ({ kind: 'answer', when, status, raw, headers, body: null });
const json = (status: number, body: unknown, headers?: Readonly<Record<string, string>>) =>
  answer(status, JSON.stringify(body), headers);
const page = (status: number) =>
  answer(status, `<html><body>${ECHO}</body></html>`, { 'content-type': 'text/html' });

const versionUnknown = (probes: number, outcome: Outcome = 'StoreUnavailable'): ExpectedResults => {
  const one = { ...result(outcome, 0), probes };
  return { read: one, write: one, ping: { ...one, outcome: 'StoreUnavailable' } };
};
const CONFIRMED_BY_A_LIST = result('done', 1, 1);

/** The connection broke, or something in front of the server answered: reads are sent three times; a write may still be carried out. */
const CONNECTION_LOST = {
  always: { read: unavailable(3), write: indeterminate(3), ping: unavailable(3) },
  once: { read: result('done', 2), write: indeterminate(1), ping: result('done', 2) },
  carriedOut: CONFIRMED_BY_A_LIST,
  cold: versionUnknown(3),
} as const;

/** The answer cannot be used: another attempt would not help, and it does not say whether a write was carried out. */
const UNUSABLE_ANSWER = {
  always: { read: unavailable(1), write: indeterminate(1), ping: unavailable(1) },
  once: { read: unavailable(1), write: indeterminate(1), ping: unavailable(1) },
  carriedOut: CONFIRMED_BY_A_LIST,
  cold: versionUnknown(1),
} as const;

/** The server itself failed, and works on the call no more: what the list does not show will not be written. */
const SERVER_FAILED = {
  ...UNUSABLE_ANSWER,
  once: { read: unavailable(1), write: { ...unavailable(1), verifications: 1 }, ping: unavailable(1) },
} as const;

/** The server limits the rate: nothing was carried out, and no call is sent before the time that it said. */
const rateLimit = (seconds: number) =>
  ({
    always: rateLimitedFor(seconds),
    once: rateLimitedFor(seconds),
    cold: versionUnknown(1, `TooManyRequests ${seconds}`),
    recoversAfterMs: seconds * 1000,
  }) as const;
const rateLimitedFor = (seconds: number): ExpectedResults => ({
  read: result(`TooManyRequests ${seconds}`, 1),
  write: result(`TooManyRequests ${seconds}`, 1),
  ping: unavailable(1),
});
const tooManyRequests = (headers: Readonly<Record<string, string>>) =>
  json(429, { statusCode: 429, error: 'RateLimitExceeded', message: ECHO }, headers);

/** The target of redirects, which nobody may follow. */
export const ELSEWHERE = '/elsewhere';
/** The largest answer that a store accepts. */
export const CAP_BYTES = 20_000;

export const WIRE_FAULTS: Readonly<Record<string, WireFault>> = {
  // Without a list that is too large, the name is read by itself.
  'an answer beyond the cap': {
    ...UNUSABLE_ANSWER,
    fault: json(200, { secrets: [], padding: ECHO.repeat(CAP_BYTES / 10) }),
    once: { ...UNUSABLE_ANSWER.once, retrieve: result('done', 1), list: result('ListTooLarge', 1) },
    always: { ...UNUSABLE_ANSWER.always, list: result('ListTooLarge', 1) },
  },
  'reset before headers': { ...CONNECTION_LOST, fault: (when) => ({ kind: 'reset', when }) },
  'reset mid-body': { ...CONNECTION_LOST, fault: (when) => ({ kind: 'resetInBody', when }) },
  'an end mid-body': { ...CONNECTION_LOST, fault: (when) => ({ kind: 'truncate', when }) },
  'no answer': { ...UNUSABLE_ANSWER, unanswered: true, fault: (when) => ({ kind: 'hang', when }) },
  'slow headers': { ...UNUSABLE_ANSWER, unanswered: true, fault: (when) => ({ kind: 'dripHeaders', when }) },
  'slow body': { ...UNUSABLE_ANSWER, unanswered: true, fault: (when) => ({ kind: 'dripBody', when }) },
  'truncated JSON': { ...UNUSABLE_ANSWER, fault: answer(200, `{"secrets": [{"secretValue": "${ECHO}`) },
  'a page with 200': { ...UNUSABLE_ANSWER, fault: page(200) },
  'a page with 404': { ...SERVER_FAILED, fault: page(404) },
  'a page with 502': { ...CONNECTION_LOST, fault: page(502) },
  'a page with 504': { ...CONNECTION_LOST, fault: page(504) },
  'wrong types': {
    ...UNUSABLE_ANSWER,
    fault: json(200, { secrets: [{ secretValue: [ECHO] }], secret: ECHO }),
  },
  'no list and no secret': { ...UNUSABLE_ANSWER, fault: json(200, { secrets: ECHO, secret: { id: 1 } }) },
  'an empty body': { ...UNUSABLE_ANSWER, fault: answer(200, '') },
  'a redirect': {
    ...UNUSABLE_ANSWER,
    fault: answer(307, '', { location: `${ELSEWHERE}?${encodeURIComponent(ECHO)}` }),
  },
  'a 429 with Retry-After': { ...rateLimit(59), fault: tooManyRequests({ 'retry-after': '59' }) },
  'a 429 with x-ratelimit headers': {
    ...rateLimit(42),
    fault: tooManyRequests({
      'x-ratelimit-limit': '40',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '42',
    }),
  },
  'a 429 without a time': { ...rateLimit(60), fault: tooManyRequests({}) },
  'a 429 that says now': {
    fault: tooManyRequests({ 'retry-after': '0' }),
    always: {
      read: result('TooManyRequests 1', 3),
      write: result('TooManyRequests 1', 3),
      ping: unavailable(3),
    },
    once: { read: result('done', 2), write: result('done', 2), ping: result('done', 2) },
    cold: versionUnknown(3, 'TooManyRequests 1'),
  },
  'a 500': {
    ...SERVER_FAILED,
    fault: json(500, { statusCode: 500, error: 'Find one', message: `Something went wrong ${ECHO}` }),
  },
  'a 503 while migrating': {
    ...CONNECTION_LOST,
    fault: json(503, { statusCode: 503, error: 'Service Unavailable', message: `migrating ${ECHO}` }),
  },
  'a refusal that nobody knows': {
    ...SERVER_FAILED,
    fault: json(418, { statusCode: 418, error: `Echo ${ECHO}`, message: ECHO }),
  },
};
