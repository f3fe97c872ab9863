import type { RateReport } from './rate-limit-window';

/** The servers' windows last a minute. Who says a year is no Infisical, or is mistaken, and is asked again. */
const LONGEST_WAIT_S = 300;

type Headers = Readonly<Record<string, unknown>>;

/** The servers say it in whole seconds; the reset of the window says the same where a proxy drops the header. */
export function retryAfterOf(headers: Headers): number | undefined {
  return secondsToMs(headers['retry-after'] ?? headers['x-ratelimit-reset']);
}

/** Undefined for an answer that tells nothing, as one that was refused before the limit was looked at. */
export function rateReportOf(
  headers: Headers,
  answer: { readonly status: number; readonly retryAfterMs?: number },
): RateReport | undefined {
  const limit = wholeNumber(headers['x-ratelimit-limit']);
  const remaining = wholeNumber(headers['x-ratelimit-remaining']);
  const resetMs = secondsToMs(headers['x-ratelimit-reset']);
  const refused = answer.status === 429 && { refused: { forMs: answer.retryAfterMs } };
  if (limit !== undefined && remaining !== undefined && resetMs !== undefined)
    return { limit, remaining, resetMs, ...refused };
  if (refused !== false) return refused;
  return answer.status < 300 ? {} : undefined;
}

function secondsToMs(header: unknown): number | undefined {
  const seconds = wholeNumber(header);
  return seconds === undefined ? undefined : Math.min(seconds, LONGEST_WAIT_S) * 1000;
}

function wholeNumber(header: unknown): number | undefined {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
}
