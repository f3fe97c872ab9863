// npm run test:mutation [-- FILE…]: changes src/authn, src/authz and src/secrets in some two thousand small ways, one at a time, and runs
// their unit tests for each; a change that no test notices has survived. It prints the survivors and the share that was noticed, and
// exits with 1 where that is under 90 % in a folder. Stryker is installed beside the project's own packages: decision 19 says why.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const VERSION = '9.6.1';
const HOME = join('node_modules', '.cache', 'mutation');
const STRYKER = resolve(HOME, 'node_modules', '@stryker-mutator');
const RESULTS = join(HOME, 'results.json');
const FOLDERS = ['src/authn', 'src/authz', 'src/secrets'];
const WANTED_PERCENT = 90;

/** Each of the two packages is of exactly this version; no install script runs. */
function install() {
  const manifest = join(STRYKER, 'jest-runner', 'package.json');
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === VERSION) return;
  const packages = ['core', 'jest-runner'].map((name) => `@stryker-mutator/${name}@${VERSION}`);
  const options = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', '--prefix', HOME, ...options, ...packages], { stdio: 'inherit' });
}

/** @param mutate the files to change, as paths or patterns */
async function run(mutate) {
  const { Stryker } = await import(pathToFileURL(join(STRYKER, 'core', 'dist', 'src', 'index.js')).href);
  await new Stryker({
    packageManager: 'npm',
    testRunner: 'jest',
    plugins: [join(STRYKER, 'jest-runner', 'dist', 'src', 'index.js')],
    jest: { projectType: 'custom', configFile: 'jest.mutation.config.js', enableFindRelatedTests: true },
    coverageAnalysis: 'perTest',
    ignoreStatic: true,
    mutate,
    ignorePatterns: ['/dist', '/data', '/coverage'],
    // jest finds no tests below node_modules.
    tempDirName: 'coverage/mutation',
    concurrency: 2,
    timeoutMS: 15_000,
    timeoutFactor: 2,
    incremental: true,
    incrementalFile: RESULTS,
    reporters: ['clear-text'],
    clearTextReporter: { logTests: false, reportTests: false, reportScoreTable: false, allowEmojis: false },
    allowConsoleColors: false,
  }).runMutationTest();
}

/** What is neither here nor there, such as an ignored mutant, does not count. */
const IS_NOTICED = { Killed: true, Timeout: true, Survived: false, NoCoverage: false };

function scoreOf(files) {
  const noticed = files.flatMap(({ mutants }) =>
    mutants.flatMap(({ status }) => (status in IS_NOTICED ? [IS_NOTICED[status]] : [])),
  );
  return { of: noticed.length, percent: (100 * noticed.filter(Boolean).length) / noticed.length };
}

/** Prints it as `npm run assurance` reads it. Returns whether it is enough. */
function figure(where, files) {
  const { of, percent } = scoreOf(files);
  console.log(`figure: mutation score of ${where} = ${percent.toFixed(1)} % of ${of} mutants`);
  return percent >= WANTED_PERCENT;
}

const named = process.argv.slice(2);
// A module of Nest only says which class implements which port.
const all = FOLDERS.flatMap((folder) => [`${folder}/**/*.ts`, `!${folder}/**/*.module.ts`]);
install();
await run(named.length > 0 ? named : all);
const results = Object.entries(JSON.parse(readFileSync(RESULTS, 'utf8')).files)
  .map(([path, { mutants }]) => ({ path, mutants }))
  .filter(({ path }) => named.length === 0 || named.includes(path));
for (const file of results) {
  const { of, percent } = scoreOf([file]);
  if (of > 0) console.log(`${file.path}: ${percent.toFixed(1)} % of ${of} mutants`);
}
const places = named.length > 0 ? [] : [...FOLDERS, 'src'];
const enough = places.map((where) =>
  figure(where === 'src' ? 'all' : where, results.filter(({ path }) => path.startsWith(`${where}/`))),
); // prettier-ignore
if (enough.includes(false)) process.exitCode = 1;
