#!/usr/bin/env node
// The bin of the package, for a checkout: builds what is missing or older than its sources, and runs it. The image runs dist/ itself.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const MAIN = join(ROOT, 'dist/cli/olares-secrets.js');
/** The compiler writes it last. */
const BUILT = join(ROOT, 'dist/.tsbuildinfo');
const NEST = join(ROOT, 'node_modules/@nestjs/cli/bin/nest.js');

function isBuilt() {
  if (!existsSync(MAIN) || !existsSync(BUILT)) return false;
  const builtAtMs = statSync(BUILT).mtimeMs;
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true });
  return sources.every((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs <= builtAtMs);
}

function say(sentence) {
  process.stderr.write(`olares-secrets: ${sentence}\n`);
}

/** Returns whether there is something to run now. */
function build() {
  if (!existsSync(NEST)) {
    say('The command is not built here. Run npm ci in the checkout first.');
    return false;
  }
  say('Building, since the sources are newer than what was built…');
  // Standard output is for the results of commands.
  const { status } = spawnSync(process.execPath, [NEST, 'build'], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (status !== 0 || !existsSync(MAIN)) {
    say('The build failed.');
    return false;
  }
  // Sources that were touched and not changed give the compiler nothing to write.
  if (existsSync(BUILT)) utimesSync(BUILT, new Date(), new Date());
  return true;
}

if (isBuilt() || build()) await import(MAIN);
else process.exitCode = 3;
