// Checks an OpenAPI document on standard input by Redocly's recommended rules; a test gives it that of the service.
import { text } from 'node:stream/consumers';
import { createConfig, lintFromString } from '@redocly/openapi-core';

/** Where relative references would be looked for; the document has none. */
const ADDRESS = 'https://olares-secret-provider.invalid/openapi.json';

const config = await createConfig({ extends: ['recommended'] });
const source = await text(process.stdin);
const faults = await lintFromString({ source, absoluteRef: ADDRESS, config });
for (const { severity, ruleId, message, location } of faults)
  console.log(`${severity} ${ruleId} ${location[0]?.pointer ?? ''}: ${message}`);
if (faults.length === 0) console.log('The document has no fault.');
process.exitCode = faults.length === 0 ? 0 : 1;
