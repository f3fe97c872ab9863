import { waitFor } from '../../time/clock';

type CheckState = 'ok' | 'warn' | 'fail' | 'skip';

/** What one check found, as one sentence without any value, token or key. */
export interface CheckResult {
  readonly check: string;
  readonly state: CheckState;
  /** What is wrong and what to do; of what is right, what was seen. */
  readonly sentence: string;
}

type Results = CheckResult | readonly CheckResult[];

interface Check {
  readonly name: string;
  /** Returns one result or several; it may throw, and may never end. */
  readonly run: () => Promise<Results> | Results;
}

/** Runs all checks at once, each for its own time: one that hangs or throws takes nothing from the others. */
export async function runChecks(
  checks: readonly Check[],
  timeoutMs: number,
): Promise<readonly CheckResult[]> {
  return (await Promise.all(checks.map((check) => resultsOf(check, timeoutMs)))).flat();
}

class TimeIsUp extends Error {}

async function resultsOf({ name, run }: Check, timeoutMs: number): Promise<Results> {
  try {
    const running = Promise.resolve().then(run);
    return await waitFor(running, { maxMs: timeoutMs, late: () => new TimeIsUp() });
  } catch (error: unknown) {
    if (error instanceof TimeIsUp)
      return failed(name, `The check did not end within ${timeoutMs / 1000} s; --timeout gives it more.`);
    // The message of a foreign error may have anything in it.
    const word = error instanceof Error ? error.constructor.name : typeof error;
    return failed(name, `The check itself failed (${word}); please report it.`);
  }
}

export const ok = (check: string, sentence: string): CheckResult => ({ check, state: 'ok', sentence });
export const warned = (check: string, sentence: string): CheckResult => ({ check, state: 'warn', sentence });
export const failed = (check: string, sentence: string): CheckResult => ({ check, state: 'fail', sentence });
export const skipped = (check: string, sentence: string): CheckResult => ({ check, state: 'skip', sentence });
