import { callsOf } from '../apps';
import { observed, type Figure, type Measured } from '../figure';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

/** One workspace is kept at a time, and each read is of another one: so each misses. */
export const NOTHING_STAYS_WARM = { ...LIMITS_OUT_OF_REACH, CACHE_MAX_ENTRIES: '1' };

const AT_ONCE = 100;

/** Measures the cost of a read with calls to Infisical, and their number. */
export async function coldReads(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const service = await stage.service(await infisical.ask('url'), APPS, NOTHING_STAYS_WARM);
  const load = stage.loadGenerator();
  const calls = await callsOf(service.url, APPS);
  const direct = await Promise.all(
    APPS.map(({ user, workspaces: [workspace = ''] }) => infisical.ask('directList', { user, workspace })),
  );
  // The first read of a workspace also finds its project.
  const first = await allAnswered(load, { calls, connections: 1, requests: calls.length });
  const one = (read: typeof calls) =>
    allAnswered(load, { calls: read, connections: 1, requests: size.coldReads });
  // At 77 a second, what a read does would not be compiled within minutes.
  await infisical.ask('answerAtOnce', true);
  await allAnswered(load, { calls, connections: 10, seconds: size.warmUpSeconds });
  await allAnswered(load, { calls: direct, connections: 10, seconds: size.warmUpSeconds });
  await infisical.ask('answerAtOnce', false);
  const pairs = await alternating(size.rounds, () => one(calls), () => one(direct)); // prettier-ignore

  const counted = async (
    calls: Awaited<ReturnType<typeof callsOf>>,
    connections: number,
    requests: number,
  ) => {
    await infisical.ask('calls');
    await allAnswered(load, { calls, connections, requests });
    return (await infisical.ask('calls')) / requests;
  };
  const cold = await counted(calls, 1, calls.length);
  const [coldest = [], warmest = []] = [calls.slice(0, 1), calls.slice(1, 2)];
  await one(calls.slice(1));
  const together = (await counted(coldest, AT_ONCE, AT_ONCE)) * AT_ONCE;
  await allAnswered(load, { calls: warmest, connections: 1, requests: 1 });
  const warm = await counted(warmest, 10, 500);

  const ratio = median(pairs.map(({ first: a, second: b }) => a.p50Ms / b.p50Ms));
  const moreMs = median(pairs.map(({ first: a, second: b }) => a.p50Ms - b.p50Ms));
  return {
    figures: [
      coldFigure(ratio, moreMs),
      {
        name: 'upstream calls: warm / cold / 100 concurrent cold reads of one scope',
        value: [warm, cold, together].join(' / '),
        target: '0 / 1 / 1',
        ok: warm === 0 && cold === 1 && together === 1,
      },
    ],
    observations: [
      observed('cold read, p50', median(pairs.map(({ first: { p50Ms } }) => p50Ms)), 'ms'),
      observed('direct list, p50', median(pairs.map(({ second: { p50Ms } }) => p50Ms)), 'ms'),
      observed('cold read, p50, more than the direct list', moreMs, 'ms'),
      observed('first read of a workspace, p50', first.p50Ms, 'ms'),
    ],
  };
}

function coldFigure(ratio: number, moreMs: number): Figure {
  return {
    name: 'cold read, p50 / direct list on the same server',
    value: Number(ratio.toPrecision(4)),
    target: '<= 1.1 and <= 2 ms more',
    ok: ratio <= 1.1 && moreMs <= 2,
    inCi: ratio <= 2,
  };
}
