const { existsSync } = require('node:fs');
const base = require('./jest.base.config.js');

// These compare real seconds, processor time, memory or file descriptors with a bound, or fill a disk: they run after the others, one
// at a time. test/architecture/serial-tests.spec.ts checks that whoever measures is named here; docs/decisions/0016-serial-tests.md says why.
const SERIAL = [
  'audit/large-trail',
  'authz/manifest-cost',
  'cli/dev-start',
  'cli/many-manifests',
  'cli/secret-file',
  'e2e/access-token',
  'e2e/bodies',
  'e2e/five-operations',
  'e2e/full-disk',
  'e2e/overload',
  'e2e/refusal-timing',
  'e2e/shutdown',
  'e2e/tls',
  'grant-sources/directory.grant-source',
  'grant-sources/growth',
  'grant-sources/kubernetes.grant-source',
  'grant-sources/manifest-feed',
  'http/discard-body',
  'http/json-structure',
  'lldap/lldap.user-directory',
  'logging/log-destination',
  'migration/migration',
  'migration/rate-limits',
  'process/embedded-memory',
  'process/limits',
  'process/memory',
  'process/proof-flood',
  'process/removal',
  'process/replicas',
  'process/start',
  'redis/redis-client',
  'redis/redis.invalidation-bus',
  'redis/redis.rate-limits',
  'redis/redis.scope-lock',
  'stores/embedded/full-disk',
  'stores/infisical/fault-plan',
  'stores/infisical/fault-plan-clock',
  'stores/infisical/kubernetes-auth',
  'stores/infisical/machine-session',
  'stores/infisical/proxy',
  'stores/infisical/rate-limits',
  'stores/infisical/read-faults',
  'stores/infisical/restart',
  'stores/infisical/version-probe',
  'telemetry/metrics',
  'telemetry/metrics-lint',
  'telemetry/metrics-server',
  'telemetry/traces',
].map((name) => `<rootDir>/test/${name}.spec.ts`);

// The suite of a real API server against the fake one takes more than a minute, and holds the suite, not the service: LONG_TESTS=true runs it.
const LONG = process.env['LONG_TESTS'] === 'true' ? [] : ['<rootDir>/test/process/kubernetes-suite.spec.ts'];

const missing = SERIAL.filter((file) => !existsSync(file.replace('<rootDir>', __dirname)));
if (missing.length > 0)
  throw new Error(`jest.config.js names tests that do not exist: ${missing.join(', ')}`);

module.exports = {
  projects: [
    { ...base, displayName: 'parallel', testPathIgnorePatterns: ['/node_modules/', ...SERIAL, ...LONG] },
    { ...base, displayName: 'serial', testMatch: SERIAL, runner: '<rootDir>/test/support/serial.runner.js' },
  ],
  // Of the parallel project: on a machine of two cores, as each of these files waits for a good part of its time.
  maxWorkers: 3,
  testTimeout: 30000,
  reporters: ['default', '<rootDir>/test/support/skipped-tests.reporter.js'],
};
