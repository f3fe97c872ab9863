import { callsOf } from '../apps';
import { atMost, observed, type Measured } from '../figure';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

const LIMIT_PER_SECOND = 20;
const FLOOD = 20;
/** Of the fifteen others together: each keeps to half of its limit. */
const WELL_BEHAVED_PER_SECOND = 15 * 10;

/** Measures how an app that sends twenty times its limit affects the others. */
export async function noisyApp(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const service = await stage.service(await infisical.ask('url'), APPS, {
    ...LIMITS_OUT_OF_REACH,
    RATE_LIMIT_APP_READS: `${LIMIT_PER_SECOND}:${2 * LIMIT_PER_SECOND}`,
  });
  const [load, flood] = [stage.loadGenerator(), stage.loadGenerator()];
  const calls = await callsOf(service.url, APPS);
  const [noisy, others] = [calls.slice(0, 1), calls.slice(1)];
  const seconds = size.floodSeconds;
  const alone = () =>
    allAnswered(load, { calls: others, connections: 15, seconds, perSecond: WELL_BEHAVED_PER_SECOND });
  const flooding = (forSeconds: number) =>
    flood.ask('run', {
      calls: noisy,
      connections: 20,
      seconds: forSeconds,
      perSecond: FLOOD * LIMIT_PER_SECOND,
    });
  await Promise.all([alone(), flooding(1)]);
  const pairs = await alternating(size.rounds, alone, async () => {
    const [result, flooded] = await Promise.all([alone(), flooding(seconds)]);
    return { ...result, flooded };
  });
  const floods = pairs.map(({ second: { flooded } }) => flooded);
  const refused = floods.map(({ failures, requests }) => (failures['429 TOO_MANY_REQUESTS'] ?? 0) / requests);
  return {
    figures: [
      atMost(
        'p99 of well-behaved apps while one app floods at 20 x its limit / alone',
        median(pairs.map(({ first, second }) => second.p99Ms / first.p99Ms)),
        1.5,
        20,
      ),
    ],
    observations: [
      observed('well-behaved apps alone, p99', median(pairs.map(({ first }) => first.p99Ms)), 'ms'),
      observed('well-behaved apps beside the flood, p99', median(pairs.map(({ second }) => second.p99Ms)), 'ms'), // prettier-ignore
      observed('the flood', median(floods.map(({ perSecond }) => perSecond)), '/s'),
      observed('of it refused', median(refused) * 100, '%'),
    ],
  };
}
