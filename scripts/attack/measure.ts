import { setTimeout as pause } from 'node:timers/promises';
import type { Outcomes } from '../../test/support/attacks/attack-connection';
import { percentile } from '../bench/rounds';
import type { AttackedService } from './attacked-service';
import type { Kind, WellBehavedResult } from './processes/well-behaved-app';
import { titleOf, type Scenario } from './scenarios';
import type { Stage } from './stage';

export interface Size {
  /** The least number of rounds, each without and then with the attack. */
  readonly rounds: number;
  /** The most rounds: a shared machine has bad seconds. */
  readonly mostRounds: number;
  /**
   * There are more rounds while the p99 of the well-behaved app beside the attack is above this, in milliseconds, and the attack slowed it. With 0 all
   * rounds are compared; otherwise the first has no window without the attack, which is needed only once the p99 is above.
   */
  readonly againAboveMs: number;
  readonly seconds: number;
  /** How long before and after the measurement the attack runs. */
  readonly leadMs: number;
  readonly perSecond: number;
  readonly warmUpSeconds: number;
}

export const FULL: Size = {
  rounds: 3,
  mostRounds: 3,
  againAboveMs: 0,
  seconds: 5,
  leadMs: 400,
  perSecond: 50,
  warmUpSeconds: 2,
};

/** The highest ratio of the p99 of others with and without an attack. */
export const MAX_RATIO = 3;
/** A p99 below this depends on timers and on the machine, and is not compared. */
const FLOOR_MS = 5;

/** The latencies of the well-behaved app in all windows together, in milliseconds. */
export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  readonly writesP50Ms: number;
  /** Share of its reads and writes that were answered with 200. */
  readonly served: number;
  readonly probesP99Ms: number;
  /** The p99 of another server that nobody attacks, which shows what the machine costs. */
  readonly controlP99Ms: number;
  readonly failures: Outcomes;
}

export interface Row {
  readonly attack: string;
  readonly quiet: Latencies;
  readonly attacked: Latencies;
  /** p99 of reads, attacked ÷ quiet. */
  readonly ratio: number;
  /** The longest delay of the event loop by the service's own metric, or else the slowest answer to a probe. */
  readonly stallMs: number;
  readonly peakMib: {
    readonly all: number;
    readonly own: number;
    readonly kernel: number;
    readonly sockets: number;
  };
  readonly cpuShare: number;
  /** How the process ended; undefined while it runs. */
  readonly ended?: string;
  /** The outcomes of the attackers' requests. */
  readonly attackers: Outcomes;
  readonly after: {
    readonly inFlight: number | undefined;
    readonly descriptorsMore: number;
    readonly attackerIsServed: boolean;
    readonly recoveredInS: number;
  };
}

const RECOVERS_WITHIN_MS = 10_000;

/** Measures the well-behaved app without and with the attack, by turns, on a service of its own. */
export async function measure(stage: Stage, scenario: Scenario, size: Size): Promise<Row> {
  const { service } = stage;
  // The same credentials in all rounds, as an app uses them for some minutes.
  const job = await stage.job(scenario, size.mostRounds * 2 * size.seconds, size.perSecond);
  const behave = (seconds: number): Promise<WellBehavedResult> =>
    stage.wellBehaved.ask('measure', { ...job, seconds });
  await behave(size.warmUpSeconds);
  const descriptors = service.descriptors();
  const quiet: WellBehavedResult[] = [];
  const attacked: WellBehavedResult[] = [];
  const attackers: Outcomes = {};
  const recoveries: number[] = [];
  const stalls: number[] = [];
  let cpuMs = 0;
  service.takeHighest();
  const isTooSlow = (): boolean =>
    latenciesOf(attacked).p99Ms > size.againAboveMs && isSlowed(latenciesOf(quiet), latenciesOf(attacked));
  const goesOn = (round: number): boolean => round < size.rounds || (round < size.mostRounds && isTooSlow());
  for (let round = 0; goesOn(round) && !service.hasEnded; round++) {
    if (round > 0 || size.againAboveMs === 0) quiet.push(await behave(size.seconds));
    await service.metric(LONGEST_DELAY);
    const target = await stage.target(scenario, size.seconds + (2 * size.leadMs) / 1000);
    const cpuBefore = service.cpuMs();
    const attack = stage.attacker
      .ask('attack', { name: scenario.attack, target })
      .catch((error: unknown) => ({ [`failed: ${error instanceof Error ? error.message : 'unknown'}`]: 1 }));
    await pause(size.leadMs);
    const seen = await behave(size.seconds);
    cpuMs += service.cpuMs() - cpuBefore;
    attacked.push(seen);
    stalls.push(
      ((await service.metric(LONGEST_DELAY)) ?? NaN) * 1000 || Math.max(...seen.tookMs.healthProbes),
    );
    for (const [outcome, count] of Object.entries(await attack))
      attackers[outcome] = (attackers[outcome] ?? 0) + count;
    recoveries.push(await recovery(service, descriptors));
  }
  const after = {
    inFlight: await service.metric('osp_requests_in_flight'),
    descriptorsMore: await descriptorsKept(service, descriptors),
    attackerIsServed: await isServedSoon(stage),
    recoveredInS: round1(Math.max(...recoveries) / 1000),
  };
  const highest = service.takeHighest();
  const [before, beside] = [latenciesOf(quiet), latenciesOf(attacked)];
  const { ending } = service;
  return {
    attack: titleOf(scenario),
    quiet: before,
    attacked: beside,
    ratio: round1(beside.p99Ms / before.p99Ms),
    stallMs: Math.round(Math.max(...stalls)),
    peakMib: {
      all: Math.round(highest.allMib),
      own: Math.round(highest.ownMib),
      kernel: Math.round(highest.kernelMib),
      sockets: Math.round(highest.socketsMib),
    },
    cpuShare: round1(cpuMs / (attacked.length * (size.seconds + size.leadMs / 1000) * 1000)),
    ...(ending !== undefined && { ended: ending }),
    attackers,
    after,
  };
}

const LONGEST_DELAY = 'osp_event_loop_delay_seconds{quantile="1"}';

/** Returns how many more descriptors than before are open after connections had time to close. */
async function descriptorsKept(service: AttackedService, before: number): Promise<number> {
  for (const endMs = performance.now() + RECOVERS_WITHIN_MS; ;) {
    const more = service.descriptors() - before;
    if (more <= 2 || performance.now() > endMs) return more;
    await pause(50);
  }
}

/** Returns how long it takes until nothing is in flight and nearly all descriptors are closed, in milliseconds. */
async function recovery(service: AttackedService, descriptors: number): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < RECOVERS_WITHIN_MS && !service.hasEnded) {
    const inFlight = await service.metric('osp_requests_in_flight');
    if (inFlight === 0 && service.descriptors() <= descriptors + 10) break;
    await pause(50);
  }
  return performance.now() - startMs;
}

/** An app that used up its own limits is served once the wait is over that its first refusal named. */
async function isServedSoon(stage: Stage): Promise<boolean> {
  let endMs = performance.now() + RECOVERS_WITHIN_MS;
  for (let isTold = false; performance.now() < endMs;) {
    if (stage.service.hasEnded) return false;
    const waitMs = await stage.attackerWaitMs();
    if (waitMs === 0) return true;
    if (!isTold) endMs += Math.min(waitMs ?? 0, RECOVERS_WITHIN_MS);
    isTold ||= waitMs !== undefined;
    await pause(waitMs ?? 250);
  }
  return false;
}

/** Returns whether the attack slowed the well-behaved app more than allowed, and more than the server that nobody attacks. */
export function isSlowed(quiet: Latencies, attacked: Latencies): boolean {
  const machineMs = Math.max(0, attacked.controlP99Ms - quiet.controlP99Ms);
  return !(attacked.p99Ms <= MAX_RATIO * Math.max(quiet.p99Ms, FLOOR_MS) + machineMs);
}

function latenciesOf(windows: readonly WellBehavedResult[]): Latencies {
  const of = (kind: Kind, share: number): number =>
    round1(
      percentile(
        windows.flatMap(({ tookMs }) => tookMs[kind]),
        share,
      ),
    );
  const asked = windows.reduce((sum, { tookMs }) => sum + tookMs.reads.length + tookMs.writes.length, 0);
  const failures: Outcomes = {};
  for (const window of windows)
    for (const [outcome, count] of Object.entries(window.failures))
      failures[outcome] = (failures[outcome] ?? 0) + count;
  const failed = Object.entries(failures)
    .filter(([outcome]) => /^(reads|writes) /.test(outcome))
    .reduce((sum, [, count]) => sum + count, 0);
  return {
    p50Ms: of('reads', 0.5),
    p99Ms: of('reads', 0.99),
    slowestMs: of('reads', 1),
    writesP50Ms: of('writes', 0.5),
    served: Number((1 - failed / asked).toFixed(3)),
    probesP99Ms: of('healthProbes', 0.99),
    controlP99Ms: of('control', 0.99),
    failures,
  };
}

function round1(value: number): number {
  return Number(value.toFixed(1));
}
