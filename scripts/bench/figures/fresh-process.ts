import { callsOf } from '../apps';
import { atMost, observed, type Measured } from '../figure';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, seedWorkspaces } from './apps-of-the-bench';
import { NOTHING_STAYS_WARM } from './cold-reads';
import { allAnswered } from './load';

/** So many requests a process has served before it is measured: V8 has compiled little of it then. */
const SERVED = 20;
/** So many are measured of each process; after more of them it would not be fresh any more. */
const MEASURED = 10;

/** Measures cold reads of a process that has just started; each round starts another one. */
export async function freshProcess(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const url = await infisical.ask('url');
  const load = stage.loadGenerator();
  const direct = await Promise.all(
    APPS.map(({ user, workspaces: [workspace = ''] }) => infisical.ask('directList', { user, workspace })),
  );
  // The other two processes are not to be fresh.
  await infisical.ask('answerAtOnce', true);
  await allAnswered(load, { calls: direct, connections: 10, seconds: size.warmUpSeconds });
  await infisical.ask('answerAtOnce', false);
  const pairs = await alternating(
    size.rounds,
    async () => {
      const service = await stage.service(url, APPS, NOTHING_STAYS_WARM);
      const calls = await callsOf(service.url, APPS);
      await allAnswered(load, { calls, connections: 1, requests: SERVED });
      const measured = await allAnswered(load, { calls, connections: 1, requests: MEASURED });
      await service.reporter.end();
      return measured;
    },
    () => allAnswered(load, { calls: direct, connections: 1, requests: MEASURED }),
  );
  const ratio = median(pairs.map(({ first, second }) => first.p50Ms / second.p50Ms));
  return {
    figures: [atMost('cold read after twenty requests, p50 / direct list', ratio, 1.2, 2)],
    observations: [
      observed('cold read after twenty requests, p50', median(pairs.map(({ first }) => first.p50Ms)), 'ms'),
      observed('direct list beside it, p50', median(pairs.map(({ second }) => second.p50Ms)), 'ms'),
    ],
  };
}
