#!/usr/bin/env node
// The bin of the package. It is there before anything is built: npx links a bin when it first meets the package, and never again, so
// that of a file in dist it would say "not found" for good to whoever calls it before the first build.
import { existsSync } from 'node:fs';
import { fileURLToPath, URL } from 'node:url';

const built = new URL('../dist/cli/olares-secrets.js', import.meta.url);
if (existsSync(built)) await import(built.href);
else {
  const folder = fileURLToPath(new URL('..', import.meta.url));
  process.stderr.write(`olares-secrets: It is not built yet: run "npm ci && npm run build" in ${folder}.\n`);
  process.exitCode = 3;
}
