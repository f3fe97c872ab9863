import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { FULL, measure, type Row } from './measure';
import { NoMemoryCgroup } from './memory-cgroup';
import { headOfTable, lineOf } from './report';
import { SCENARIOS, titleOf, type Scenario } from './scenarios';
import { Stage } from './stage';

/** The project's folder: this file is built to node_modules/.cache/attack/scripts/attack. */
const ROOT = resolve(__dirname, '../../../../..');
const SCRIPTS = join(__dirname, '..');

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      main: { type: 'string', default: join(ROOT, 'dist/main.js') },
      only: { type: 'string', multiple: true },
      rounds: { type: 'string', default: String(FULL.rounds) },
      seconds: { type: 'string', default: String(FULL.seconds) },
      lead: { type: 'string', default: String(FULL.leadMs / 1000) },
      json: { type: 'string' },
    },
  });
  const rounds = Number(options.rounds);
  const size = {
    ...FULL,
    rounds,
    mostRounds: rounds,
    seconds: Number(options.seconds),
    leadMs: Number(options.lead) * 1000,
  };
  const rows: Row[] = [];
  const wanted = SCENARIOS.filter((scenario) => isWanted(scenario, options.only));
  for (const line of headOfTable()) print(line);
  let unmeasured = 0;
  for (const scenario of wanted) {
    const stage = new Stage(scenario, options.main, SCRIPTS);
    try {
      await stage.start();
      const row = await measure(stage, scenario, size);
      rows.push(row);
      print(lineOf(row));
    } catch (error: unknown) {
      if (error instanceof NoMemoryCgroup) {
        print(`Nothing was measured: ${error.message}.`);
        return 0;
      }
      unmeasured += 1;
      print(`| ${titleOf(scenario)} | not measured: ${error instanceof Error ? error.message.slice(0, 300) : 'unknown'} |`); // prettier-ignore
    } finally {
      await stage.clear();
    }
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
  }
  return unmeasured === 0 && rows.every(({ ended }) => ended === undefined) ? 0 : 1;
}

function isWanted(scenario: Scenario, only: readonly string[] | undefined): boolean {
  return only === undefined || only.some((word) => titleOf(scenario).includes(word));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The attacks stopped: ${error instanceof Error ? error.message : 'unknown'}\n`);
    process.exit(1);
  },
);
