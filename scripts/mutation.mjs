// npm run test:mutation [-- FILE…]: changes src/authn, src/authz and src/secrets in thousands of small ways, one at a time, and runs their
// tests for each; a change that no test notices has survived. It prints the share that was noticed, and exits with 1 where that is
// under 90 % in a folder or in a file that was named. Stryker is installed beside the project's own packages: decision 19 says why.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const VERSION = '9.6.1';
const HOME = join('node_modules', '.cache', 'mutation');
const RESULTS = join(HOME, 'results.json');
const FOLDERS = ['src/authn', 'src/authz', 'src/secrets'];
const WANTED_PERCENT = 90;

/** Without install scripts; each package is of exactly this version. */
function install() {
  const manifest = join(HOME, 'node_modules', '@stryker-mutator', 'jest-runner', 'package.json');
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === VERSION) return;
  const packages = ['core', 'jest-runner'].map((name) => `@stryker-mutator/${name}@${VERSION}`);
  const quietly = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', '--prefix', HOME, ...quietly, ...packages], { stdio: 'inherit' });
}

async function run(files) {
  const core = createRequire(join(process.cwd(), HOME, 'package.json')).resolve('@stryker-mutator/core');
  const { Stryker } = await import(pathToFileURL(core).href);
  await new Stryker({
    packageManager: 'npm',
    testRunner: 'jest',
    plugins: [join(dirname(core), '..', '..', '..', 'jest-runner', 'dist', 'src', 'index.js')],
    jest: { projectType: 'custom', configFile: 'jest.mutation.config.js', enableFindRelatedTests: true },
    coverageAnalysis: 'perTest',
    ignoreStatic: true,
    // A module of Nest only says which class implements which port.
    mutate:
      files.length > 0
        ? files
        : FOLDERS.flatMap((folder) => [`${folder}/**/*.ts`, `!${folder}/**/*.module.ts`]),
    ignorePatterns: ['/dist', '/data', '/coverage'],
    concurrency: Number(process.env.MUTATION_CONCURRENCY ?? 2),
    timeoutMS: 15_000,
    timeoutFactor: 2,
    tempDirName: 'coverage/mutation',
    incremental: true,
    incrementalFile: RESULTS,
    reporters: ['clear-text'],
    clearTextReporter: {
      allowColor: false,
      allowEmojis: false,
      logTests: false,
      reportTests: false,
      skipFull: true,
      reportScoreTable: false,
    },
    disableTypeChecks: true,
    allowConsoleColors: false,
    allowEmpty: true,
    thresholds: { high: 100, low: WANTED_PERCENT, break: null },
  }).runMutationTest();
}

const SCORED = { Killed: 1, Timeout: 1, Survived: 0, NoCoverage: 0 };

/** The share of the mutants of these files that tests noticed. */
function figure(what, files) {
  const scores = files
    .flatMap(({ mutants }) => mutants.map(({ status }) => SCORED[status]))
    .filter((one) => one !== undefined);
  const percent = (100 * scores.reduce((sum, one) => sum + one, 0)) / scores.length;
  console.log(`figure: mutation score of ${what} = ${percent.toFixed(1)} % of ${scores.length}`);
  return scores.length === 0 || percent >= WANTED_PERCENT;
}

const named = process.argv.slice(2);
install();
await run(named);
const results = Object.entries(JSON.parse(readFileSync(RESULTS, 'utf8')).files).map(
  ([path, { mutants }]) => ({ path, mutants }),
);
for (const file of results) figure(file.path, [file]);
if (named.length === 0) {
  const reached = FOLDERS.map((folder) =>
    figure(
      folder,
      results.filter(({ path }) => path.startsWith(`${folder}/`)),
    ),
  );
  if (![...reached, figure('all', results)].every(Boolean)) process.exitCode = 1;
}
