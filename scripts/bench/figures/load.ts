import type { Child } from '../processes/child';
import type { LoadGenerator, LoadJob, LoadResult } from '../processes/load-generator';

/** Where a request that fails would make the figure worthless. @throws Error that tells how many did, and how */
export async function allAnswered(load: Child<LoadGenerator>, job: LoadJob): Promise<LoadResult> {
  const result = await load.ask('run', job);
  const failures = Object.entries(result.failures).map(([outcome, count]) => `${count} x ${outcome}`);
  if (failures.length > 0) throw new Error(`requests failed: ${failures.join(', ')}`);
  return result;
}
