import { callsOf } from '../apps';
import { observed, type Measured } from '../figure';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

/** Tokens live five minutes: they are signed anew before each of these. */
const AT_A_TIME = 50_000;
const CONNECTIONS = 50;
const TARGET_MB = 5;

/** Whether anything piles up. */
export async function steadiness(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const { url, reporter } = await stage.service(await infisical.ask('url'), APPS, LIMITS_OUT_OF_REACH);
  const load = stage.loadGenerator();
  const some = async (requests: number): Promise<void> => {
    for (let left = requests; left > 0; left -= AT_A_TIME) {
      const calls = await callsOf(url, APPS);
      await allAnswered(load, { calls, connections: CONNECTIONS, requests: Math.min(left, AT_A_TIME) });
    }
  };
  const state = async () => ({
    heapMb: await reporter.ask('heapMb'),
    descriptors: await reporter.ask('fileDescriptors'),
  });
  await some(Math.max(size.warmUpRequests, 5_000));
  const before = await state();
  await some(size.steadyRequests);
  const after = await state();
  const grownMb = after.heapMb - before.heapMb;
  const moreDescriptors = after.descriptors - before.descriptors;
  return {
    figures: [
      {
        name: `${size.steadyRequests.toLocaleString('en')} requests: heap growth after GC`,
        value: Number(grownMb.toFixed(2)),
        target: '< 5 MB, file descriptors flat',
        // A connection to Infisical may be open or not; whatever leaks does so by the thousand.
        ok: grownMb < TARGET_MB && moreDescriptors <= 2,
      },
    ],
    observations: [
      observed('heap before, after GC', before.heapMb, 'MB'),
      observed('heap after, after GC', after.heapMb, 'MB'),
      observed('file descriptors before', before.descriptors, ''),
      observed('file descriptors after', after.descriptors, ''),
      observed('resident set after that', await reporter.ask('rssMiB'), 'MiB'),
    ],
  };
}
