import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callsOf } from '../apps';
import { atMost, observed, type Measured } from '../figure';
import type { Call } from '../processes/load-generator';
import { alternating, median } from '../rounds';
import type { Size } from '../size';
import type { RunningServer, Stage } from '../stage';
import { APPS, LIMITS_OUT_OF_REACH, seedWorkspaces } from './apps-of-the-bench';
import { allAnswered } from './load';

const CONNECTIONS = 10;

/** Measures what an audit trail in a file costs a warm read. */
export async function auditedReads(stage: Stage, size: Size): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-audit-'));
  try {
    return await measured(stage, size, join(folder, 'audit.log'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measured(stage: Stage, size: Size, file: string): Promise<Measured> {
  const infisical = stage.infisical('v3');
  await seedWorkspaces(infisical);
  const infisicalUrl = await infisical.ask('url');
  const audit = { AUDIT: 'file', AUDIT_KEY: 'k'.repeat(32), AUDIT_FILE: file };
  const [audited, plain, echo] = await Promise.all([
    stage.service(infisicalUrl, APPS, { ...LIMITS_OUT_OF_REACH, ...audit }),
    stage.service(infisicalUrl, APPS, LIMITS_OUT_OF_REACH),
    stage.echo(),
  ]);
  const load = stage.loadGenerator();
  const [auditedReads, plainReads] = await Promise.all([
    callsOf(audited.url, APPS),
    callsOf(plain.url, APPS),
  ]);
  const echoes = plainReads.map((call): Call => ({ ...call, url: `${echo.url}/echo` }));
  const run = async ({ reporter }: RunningServer, calls: readonly Call[], seconds = size.cpuSeconds) => {
    const beforeMs = await reporter.ask('cpuMs');
    const { requests, p99Ms } = await allAnswered(load, { calls, connections: CONNECTIONS, seconds });
    return { cpuUs: (((await reporter.ask('cpuMs')) - beforeMs) * 1000) / requests, p99Ms, requests };
  };
  await run(audited, auditedReads, size.warmUpSeconds);
  await run(plain, plainReads, size.warmUpSeconds);
  await run(echo, echoes, size.warmUpSeconds);
  const ofEcho = await alternating(size.rounds, () => run(audited, auditedReads), () => run(echo, echoes)); // prettier-ignore
  const before = statSync(file).size;
  const ofPlain = await alternating(size.rounds, () => run(audited, auditedReads), () => run(plain, plainReads)); // prettier-ignore
  const records = ofPlain.reduce((sum, { first }) => sum + first.requests, 0);
  return {
    figures: [
      atMost(
        'warm RetrieveSecret with audit to a file, CPU per request / bare Nest+Express POST echo',
        median(ofEcho.map(({ first, second }) => first.cpuUs / second.cpuUs)),
        0.95,
        3,
      ),
      atMost(
        'warm RetrieveSecret with audit to a file, p99 / without audit, 10 connections',
        median(ofPlain.map(({ first, second }) => first.p99Ms / second.p99Ms)),
        1.2,
        3,
      ),
    ],
    observations: [
      observed('audited warm read, CPU', median(ofPlain.map(({ first }) => first.cpuUs)), 'us'),
      observed('warm read, CPU', median(ofPlain.map(({ second }) => second.cpuUs)), 'us'),
      observed('bare echo, CPU', median(ofEcho.map(({ second }) => second.cpuUs)), 'us'),
      observed('audited warm read, p99', median(ofPlain.map(({ first }) => first.p99Ms)), 'ms'),
      observed('warm read, p99', median(ofPlain.map(({ second }) => second.p99Ms)), 'ms'),
      observed('audit file, a record', (statSync(file).size - before) / records, 'bytes'),
    ],
  };
}
