import { setTimeout as pause } from 'node:timers/promises';
import { callsOf } from '../apps';
import { observed, type Measured } from '../figure';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

/** Tokens live five minutes: they are signed anew before so many requests, or so much time. */
const AT_A_TIME = 50_000;
const LONGEST_S = 200;
/** What is made once for each route, connection and token is there before it is counted. */
const WARM_UP = 20_000;
const CONNECTIONS = 50;
const TARGET_MB = 5;
/** A connection to Infisical may be open or not; whatever leaks does so by the thousand. */
const MORE_DESCRIPTORS = 2;

/** Measures whether memory, descriptors or anything else grows. */
export async function steadiness(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const { url, reporter } = await stage.service(await infisical.ask('url'), APPS, LIMITS_OUT_OF_REACH);
  const load = stage.loadGenerator();
  const some = async (requests: number): Promise<number> => {
    const endMs = performance.now() + size.steadySeconds * 1000;
    let made = 0;
    while (made < requests && performance.now() < endMs) {
      const job = {
        calls: await callsOf(url, APPS),
        connections: CONNECTIONS,
        requests: Math.min(requests - made, AT_A_TIME),
        seconds: Math.min((endMs - performance.now()) / 1000, LONGEST_S),
      };
      made += (await allAnswered(load, job)).requests;
    }
    return made;
  };
  /** Waits until the connections of the load are closed on both ends, ten seconds at most. */
  const state = async (descriptorsAtMost: number) => {
    let descriptors = await reporter.ask('fileDescriptors');
    for (let waits = 0; waits < 100 && descriptors > descriptorsAtMost; waits++) {
      await pause(100);
      descriptors = await reporter.ask('fileDescriptors');
    }
    return { heapMb: await reporter.ask('heapMb'), descriptors };
  };
  const idle = await reporter.ask('fileDescriptors');
  await some(Math.min(size.steadyRequests, WARM_UP));
  const before = await state(idle + MORE_DESCRIPTORS);
  const made = await some(size.steadyRequests);
  const after = await state(before.descriptors + MORE_DESCRIPTORS);
  const grownMb = after.heapMb - before.heapMb;
  const moreDescriptors = after.descriptors - before.descriptors;
  return {
    figures: [
      {
        name: `${made.toLocaleString('en')} requests: heap growth after GC`,
        value: Number(grownMb.toFixed(2)),
        target: '< 5 MB, file descriptors flat',
        ok: grownMb < TARGET_MB && moreDescriptors <= MORE_DESCRIPTORS,
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
