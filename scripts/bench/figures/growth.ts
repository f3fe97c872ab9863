import { benchApp, callsOf } from '../apps';
import { observed, type Measured, type Observation } from '../figure';
import type { Size } from '../size';
import type { Stage } from '../stage';
import { LIMITS_OUT_OF_REACH } from './apps-of-the-bench';
import { allAnswered } from './load';

interface Step {
  readonly name: string;
  readonly secrets: number;
  readonly valueBytes: number;
}

const STEPS: readonly Step[] = [
  // Pays for the login, and lets the process compile what is hot.
  { name: 'warming up', secrets: 1, valueBytes: 64 },
  { name: '1 secret', secrets: 1, valueBytes: 64 },
  { name: '100 secrets', secrets: 100, valueBytes: 64 },
  { name: '10,000 secrets', secrets: 10_000, valueBytes: 64 },
  { name: 'value of 64 B', secrets: 1, valueBytes: 64 },
  { name: 'value of 8 KiB', secrets: 1, valueBytes: 8 * 1024 },
  { name: 'value of 512 KiB', secrets: 1, valueBytes: 512 * 1024 },
];

/** Measures how the cost of a read grows with the size of its workspace. */
export async function growth(stage: Stage, size: Size): Promise<Measured> {
  const infisical = stage.infisical('v3');
  const app = benchApp(0, STEPS.map((_, at) => `step${at}`)); // prettier-ignore
  const workspaces = STEPS.map(({ secrets, valueBytes }, at) => ({
    user: app.user,
    workspace: `step${at}`,
    secrets,
    valueBytes,
  }));
  await infisical.ask('seed', workspaces);
  // Nothing goes cold while it is measured warm.
  const service = await stage.service(await infisical.ask('url'), [app], {
    ...LIMITS_OUT_OF_REACH,
    CACHE_TTL_MS: '60000',
  });
  const load = stage.loadGenerator();
  const calls = await callsOf(service.url, [app]);
  const seconds = size.growthSeconds;
  const rows: Observation[] = [];
  for (const [at, { name }] of STEPS.entries()) {
    const read = calls.slice(at, at + 1);
    const cold = await allAnswered(load, { calls: read, connections: 1, requests: 1 });
    await allAnswered(load, { calls: read, connections: 1, seconds });
    const beforeMs = await service.reporter.ask('cpuMs');
    const warm = await allAnswered(load, { calls: read, connections: 1, seconds });
    const cpuMs = (await service.reporter.ask('cpuMs')) - beforeMs;
    rows.push(
      observed(`${name}: first read`, cold.p50Ms, 'ms'),
      observed(`${name}: warm read, p50`, warm.p50Ms, 'ms'),
      observed(`${name}: warm read, CPU`, (cpuMs * 1000) / warm.requests, 'us'),
    );
  }
  return { observations: rows.filter(({ name }) => !name.startsWith('warming up')) };
}
