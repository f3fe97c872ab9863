import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Figure, Measured, Observation } from './figure';
import { auditedReads } from './figures/audited-reads';
import { againstThePredecessor } from './figures/against-the-predecessor';
import { coldReads } from './figures/cold-reads';
import { decisionCost } from './figures/decision-cost';
import { freshProcess } from './figures/fresh-process';
import { growth } from './figures/growth';
import { noisyApp } from './figures/noisy-app';
import { outage } from './figures/outage';
import { steadiness } from './figures/steadiness';
import { warmReads } from './figures/warm-reads';
import { holdsInCi, lineOf, reportOf, rowOf } from './report';
import { FULL, SHORT, type Size } from './size';
import { Stage } from './stage';

/** The parts in their order; each has the machine for itself. */
const PARTS: Readonly<Record<string, (stage: Stage, size: Size) => Promise<Measured>>> = {
  warmReads,
  auditedReads,
  coldReads,
  freshProcess,
  againstThePredecessor,
  noisyApp,
  decisionCost,
  steadiness,
  outage,
  growth,
};

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'string' },
      only: { type: 'string', multiple: true },
    },
  });
  const size = options.short ? SHORT : FULL;
  const figures: Figure[] = [];
  const observations: Observation[] = [];
  for (const [name, part] of Object.entries(PARTS)) {
    // The short form, which is for CI, saves the time of what has no bound, and of what a quiet machine is needed for.
    const isLong = name === 'growth' || name === 'auditedReads';
    const isChosen = options.only?.includes(name) ?? !(options.short && isLong);
    if (!isChosen) continue;
    const stage = new Stage();
    const measured = await part(stage, size)
      .catch((error: unknown) => unmeasured(name, error))
      .finally(() => stage.clear());
    figures.push(...(measured.figures ?? []));
    observations.push(...(measured.observations ?? []));
    for (const observation of measured.observations ?? []) print(lineOf(observation));
  }
  print('');
  for (const figure of figures) print(rowOf(figure));
  const report = reportOf(figures, observations);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  // The short form has few rounds, and stands where other work is done: it goes by the wider bounds.
  const holds = options.short ? holdsInCi : ({ ok }: Figure) => ok;
  return figures.every(holds) ? 0 : 1;
}

/** A part that fails makes the bench fail; the others are still measured. */
function unmeasured(part: string, error: unknown): Measured {
  const value = error instanceof Error ? error.message : 'unknown';
  return { figures: [{ name: part, value, target: 'measured', ok: false }] };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The bench stopped: ${error instanceof Error ? error.message : 'unknown'}\n`);
    process.exit(1);
  },
);
