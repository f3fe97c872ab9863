import { setTimeout as pause } from 'node:timers/promises';
import { callsOf } from '../apps';
import { observed, type Measured, type Observation } from '../figure';
import type { Child } from '../processes/child';
import type { Call, LoadGenerator, LoadResult } from '../processes/load-generator';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { allAnswered } from './load';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';

const READS_PER_SECOND = 200;
const WRITES_PER_SECOND = 5;
const WRITES_FAIL_WITHIN_MS = 1_000;

/** Measures reads and writes while Infisical is away. */
export async function outage(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const service = await stage.service(await infisical.ask('url'), APPS, {
    ...LIMITS_OUT_OF_REACH,
    CACHE_TTL_MS: `${size.outageTtlMs}`,
  });
  const [readers, writers] = [stage.loadGenerator(), stage.loadGenerator()];
  const [reads, writes] = [
    await callsOf(service.url, APPS),
    await callsOf(service.url, APPS, 'UpdateSecret'),
  ];
  const seconds = size.outageSeconds;
  const read = (during: number) =>
    readers.ask('run', { calls: reads, connections: 10, seconds: during, perSecond: READS_PER_SECOND });
  // What was never read cannot be served: a scope is warm once its app has read.
  await allAnswered(readers, { calls: reads, connections: 4, requests: 3 * reads.length });
  const reading = read(seconds + 2);
  await pause(500);
  await infisical.ask('goDown');
  const written = await writers.ask('run', {
    calls: writes,
    connections: 20,
    seconds,
    perSecond: WRITES_PER_SECOND,
  });
  await infisical.ask('comeUp');
  const served = await reading;
  const failedReads = sum(served);
  const failedWrites = sum(written);
  const isClear = Object.keys(written.failures).every((outcome) => /^503 [A-Z_]+$/.test(outcome));
  const backMs = await untilWritesSucceed(writers, writes);
  return {
    figures: [
      {
        name: `Infisical gone for ${seconds} s under load: failed reads of warm scopes`,
        value: failedReads,
        target: '0, and writes fail within 1 s and clearly',
        ok: failedReads === 0 && isClear && written.slowestMs < WRITES_FAIL_WITHIN_MS,
        inCi: failedReads === 0 && isClear,
      },
    ],
    observations: [
      observed('reads during the outage, p99', served.p99Ms, 'ms'),
      observed('writes that failed of those during the outage', (100 * failedWrites) / written.requests, '%'),
      ...outcomes('reads', served),
      ...outcomes('writes', written),
      observed('slowest of them', written.slowestMs, 'ms'),
      observed('until writes succeed again', backMs, 'ms'),
    ],
  };
}

/** Milliseconds, at most half a minute: whoever broke the circuit closes it again. */
async function untilWritesSucceed(writers: Child<LoadGenerator>, calls: readonly Call[]): Promise<number> {
  const startMs = performance.now();
  for (let tookMs = 0; tookMs < 30_000; tookMs = performance.now() - startMs) {
    if (sum(await writers.ask('run', { calls, connections: 1, requests: 1 })) === 0)
      return performance.now() - startMs;
    await pause(100);
  }
  throw new Error('writes do not succeed again');
}

function outcomes(what: string, { failures }: LoadResult): readonly Observation[] {
  return Object.entries(failures).map(([outcome, count]) =>
    observed(`${what} answered ${outcome}`, count, ''),
  );
}

function sum({ failures }: LoadResult): number {
  return Object.values(failures).reduce((total, count) => total + count, 0);
}
