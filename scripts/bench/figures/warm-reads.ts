import { callsOf } from '../apps';
import { atLeast, atMost, observed, type Measured } from '../figure';
import type { Call } from '../processes/load-generator';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { RunningServer, Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

const CONNECTIONS = [1, 10, 50];

/** Measures the cost of a read without a call to Infisical. */
export async function warmReads(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const infisicalUrl = await infisical.ask('url');
  const [service, echo] = await Promise.all([
    stage.service(infisicalUrl, APPS, LIMITS_OUT_OF_REACH),
    stage.echo(),
  ]);
  const load = stage.loadGenerator();
  const reads = await callsOf(service.url, APPS);
  // The same request, headers and body, so that both parse as much.
  const echoes = reads.map((call): Call => ({ ...call, url: `${echo.url}/echo` }));
  const run = (calls: readonly Call[], connections: number, seconds: number) =>
    allAnswered(load, { calls, connections, seconds });

  const cpuUs = async ({ reporter }: RunningServer, calls: readonly Call[]): Promise<number> => {
    const beforeMs = await reporter.ask('cpuMs');
    const { requests } = await run(calls, 10, size.cpuSeconds);
    return (((await reporter.ask('cpuMs')) - beforeMs) * 1000) / requests;
  };
  await run(reads, 10, size.warmUpSeconds);
  await run(echoes, 10, size.warmUpSeconds);
  const cpu = await alternating(size.rounds, () => cpuUs(service, reads), () => cpuUs(echo, echoes)); // prettier-ignore

  const direct = await Promise.all(
    APPS.map(({ user, workspaces: [workspace = ''] }) => infisical.ask('directList', { user, workspace })),
  );
  const seconds = size.throughputSeconds;
  const fresh = await callsOf(service.url, APPS);
  const throughput = await alternating(
    size.rounds,
    () => run(fresh, 50, seconds),
    () => run(direct, 50, 2 * seconds),
  );

  const latencies = [];
  for (const connections of CONNECTIONS) {
    const { p50Ms, p99Ms, perSecond } = await run(fresh, connections, size.cpuSeconds);
    const at = `warm read, ${connections} connection(s)`;
    latencies.push(
      observed(`${at}: p50`, p50Ms, 'ms'),
      observed(`${at}: p99`, p99Ms, 'ms'),
      observed(`${at}: throughput`, perSecond, '/s'),
    );
  }
  return {
    figures: [
      atMost(
        'warm RetrieveSecret, CPU per request / bare Nest+Express POST echo with body parsing',
        median(cpu.map(({ first, second }) => first / second)),
        1.3,
        3,
      ),
      atLeast(
        "warm throughput / direct calls to a server with v3's service time, 50 connections",
        median(throughput.map(({ first, second }) => first.perSecond / second.perSecond)),
        20,
        5,
      ),
    ],
    observations: [
      observed('warm RetrieveSecret, CPU', median(cpu.map(({ first }) => first)), 'us'),
      observed('bare echo, CPU', median(cpu.map(({ second }) => second)), 'us'),
      observed('warm throughput, 50 connections', median(throughput.map(({ first }) => first.perSecond)), '/s'), // prettier-ignore
      observed('direct calls, 50 connections', median(throughput.map(({ second }) => second.perSecond)), '/s'), // prettier-ignore
      ...latencies,
      observed('resident set after all that', await service.reporter.ask('rssMiB'), 'MiB'),
    ],
  };
}
