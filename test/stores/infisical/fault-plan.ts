import type { LostAnswer } from '../../support/fake-infisical/fake-faults';
import { ECHO } from './canary';

export type Operation = 'retrieve' | 'list' | 'create' | 'update' | 'delete' | 'ping';

/** The class of the error, a wait in seconds where it names one, or `done`. */
export type Ended =
  | 'ListTooLarge'
  | 'done'
  | 'SecretNotFound'
  | 'StoreUnavailable'
  | 'StoreOutcomeUnknown'
  | `TooManyRequests ${number}`;

/** How an operation ends; how often its own call is sent; for a write, how often it is looked for. */
export interface Course {
  readonly ended: Ended;
  readonly sent: number;
  readonly looks?: number;
  readonly logins?: number;
  /** Looks for which server it is. */
  readonly probes?: number;
}

/** What holds for all reads and all writes, and where one of them is different. */
export type Courses = { readonly read: Course; readonly write: Course; readonly ping: Course } & {
  readonly [operation in Operation]?: Course;
};

/** Something that happens to answers. */
export interface WireFault {
  readonly fault: (when: 'before' | 'after') => LostAnswer;
  /** No answer ends the call, so that its time must. */
  readonly endless?: true;
  /** Every call fails from now on. */
  readonly always: Courses;
  /** Only the next call fails, without being carried out. */
  readonly once: Courses;
  /** Only the next call fails, and was carried out; undefined for what a server never does after its work. */
  readonly carriedOut?: Course;
  /** Every call fails, of a process that has just started: it never finds out which server it is. */
  readonly cold: Courses;
  /** Until when the server said, or is supposed, to refuse. */
  readonly recoversAfterMs?: number;
}

export const course = (ended: Ended, sent: number, looks = 0): Course => ({ ended, sent, looks });
const down = (sent: number): Course => course('StoreUnavailable', sent);
const unknown = (looks: number): Course => course('StoreOutcomeUnknown', 1, looks);

const answer =
  (status: number, raw: string, headers: Readonly<Record<string, string>> = {}) =>
  (when: 'before' | 'after'): LostAnswer => ({ kind: 'answer', when, status, raw, headers, body: null });
const json = (status: number, body: unknown, headers?: Readonly<Record<string, string>>) =>
  answer(status, JSON.stringify(body), headers);
const page = (status: number) =>
  answer(status, `<html><body>${ECHO}</body></html>`, { 'content-type': 'text/html' });

const neverFoundOut = (probes: number, ended: Ended = 'StoreUnavailable'): Courses => {
  const one = { ...course(ended, 0), probes };
  return { read: one, write: one, ping: { ...one, ended: 'StoreUnavailable' } };
};
const FOUND_BY_A_LOOK = course('done', 1, 1);

/** The connection, or something in front of the server: reads go out three times, a write may come yet. */
const LOST = {
  always: { read: down(3), write: unknown(3), ping: down(3) },
  once: { read: course('done', 2), write: unknown(1), ping: course('done', 2) },
  carriedOut: FOUND_BY_A_LOOK,
  cold: neverFoundOut(3),
} as const;

/** Nothing that another attempt would mend, and no word of what became of a write. */
const SENSELESS = {
  always: { read: down(1), write: unknown(1), ping: down(1) },
  once: { read: down(1), write: unknown(1), ping: down(1) },
  carriedOut: FOUND_BY_A_LOOK,
  cold: neverFoundOut(1),
} as const;

/** The server is done with it: what a look does not show will not come. */
const ENDED = {
  ...SENSELESS,
  once: { read: down(1), write: { ...down(1), looks: 1 }, ping: down(1) },
} as const;

/** A refusal for the rate: nothing was done, and the server is not asked again before the time that it said. */
const limitedFor = (seconds: number) =>
  ({
    always: refusedFor(seconds),
    once: refusedFor(seconds),
    cold: neverFoundOut(1, `TooManyRequests ${seconds}`),
    recoversAfterMs: seconds * 1000,
  }) as const;
const refusedFor = (seconds: number): Courses => ({
  read: course(`TooManyRequests ${seconds}`, 1),
  write: course(`TooManyRequests ${seconds}`, 1),
  ping: down(1),
});
const storm = (headers: Readonly<Record<string, string>>) =>
  json(429, { statusCode: 429, error: 'RateLimitExceeded', message: ECHO }, headers);

/** Where redirects point to: nobody may go there. */
export const ELSEWHERE = '/elsewhere';
/** What a store takes of an answer. */
export const CAP_BYTES = 20_000;

export const WIRE_FAULTS: Readonly<Record<string, WireFault>> = {
  // A list beyond the cap is dispensed with: its name is read by itself.
  'an answer beyond the cap': {
    ...SENSELESS,
    fault: json(200, { secrets: [], padding: ECHO.repeat(CAP_BYTES / 10) }),
    once: { ...SENSELESS.once, retrieve: course('done', 1), list: course('ListTooLarge', 1) },
    always: { ...SENSELESS.always, list: course('ListTooLarge', 1) },
  },
  'reset before headers': { ...LOST, fault: (when) => ({ kind: 'reset', when }) },
  'reset mid-body': { ...LOST, fault: (when) => ({ kind: 'resetInBody', when }) },
  'an end mid-body': { ...LOST, fault: (when) => ({ kind: 'truncate', when }) },
  'no answer': { ...SENSELESS, endless: true, fault: (when) => ({ kind: 'hang', when }) },
  'slow headers': { ...SENSELESS, endless: true, fault: (when) => ({ kind: 'dripHeaders', when }) },
  'slow body': { ...SENSELESS, endless: true, fault: (when) => ({ kind: 'dripBody', when }) },
  'truncated JSON': { ...SENSELESS, fault: answer(200, `{"secrets": [{"secretValue": "${ECHO}`) },
  'a page with 200': { ...SENSELESS, fault: page(200) },
  'a page with 404': { ...ENDED, fault: page(404) },
  'a page with 502': { ...LOST, fault: page(502) },
  'a page with 504': { ...LOST, fault: page(504) },
  'wrong types': { ...SENSELESS, fault: json(200, { secrets: [{ secretValue: [ECHO] }], secret: ECHO }) },
  'no list and no secret': { ...SENSELESS, fault: json(200, { secrets: ECHO, secret: { id: 1 } }) },
  'an empty body': { ...SENSELESS, fault: answer(200, '') },
  'a redirect': {
    ...SENSELESS,
    fault: answer(307, '', { location: `${ELSEWHERE}?${encodeURIComponent(ECHO)}` }),
  },
  'a 429 with Retry-After': { ...limitedFor(59), fault: storm({ 'retry-after': '59' }) },
  'a 429 with x-ratelimit headers': {
    ...limitedFor(42),
    fault: storm({ 'x-ratelimit-limit': '40', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '42' }),
  },
  'a 429 without a word of when': { ...limitedFor(60), fault: storm({}) },
  'a 429 that says now': {
    fault: storm({ 'retry-after': '0' }),
    always: {
      read: course('TooManyRequests 1', 3),
      write: course('TooManyRequests 1', 3),
      ping: down(3),
    },
    once: { read: course('done', 2), write: course('done', 2), ping: course('done', 2) },
    cold: neverFoundOut(3, 'TooManyRequests 1'),
  },
  'a 500': {
    ...ENDED,
    fault: json(500, { statusCode: 500, error: 'Find one', message: `Something went wrong ${ECHO}` }),
  },
  'a 503 while migrating': {
    ...LOST,
    fault: json(503, { statusCode: 503, error: 'Service Unavailable', message: `migrating ${ECHO}` }),
  },
  'a refusal that nobody knows': {
    ...ENDED,
    fault: json(418, { statusCode: 418, error: `Echo ${ECHO}`, message: ECHO }),
  },
};
