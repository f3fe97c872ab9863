// Builds the client twice: ES modules in dist/esm, CommonJS in dist/cjs.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const here = dirname(fileURLToPath(import.meta.url));
const run = (...args) => execFileSync(process.execPath, [tsc, '-p', here, ...args], { stdio: 'inherit' });
rmSync(`${here}/dist`, { recursive: true, force: true });
run();
// The nearest package.json says which of the two a file is.
run('--module', 'commonjs', '--moduleResolution', 'node10', '--outDir', `${here}/dist/cjs`);
mkdirSync(`${here}/dist/cjs`, { recursive: true });
writeFileSync(`${here}/dist/cjs/package.json`, '{ "type": "commonjs" }\n');
