const base = require('./jest.base.config.js');

// These hold the service to real seconds, its own processor time or its memory: they run after the others, one at a time.
const SERIAL = [
  '<rootDir>/test/grants/growth.spec.ts',
  '<rootDir>/test/grants/manifest-cost.spec.ts',
  '<rootDir>/test/process/limits.spec.ts',
  '<rootDir>/test/process/memory.spec.ts',
  '<rootDir>/test/process/replicas.spec.ts',
  '<rootDir>/test/process/start.spec.ts',
  '<rootDir>/test/redis/redis-client.spec.ts',
  '<rootDir>/test/redis/redis.scope-lock.spec.ts',
  '<rootDir>/test/telemetry/metrics-lint.spec.ts',
];

/** @type {import('jest').Config} */
module.exports = {
  projects: [
    { ...base, testPathIgnorePatterns: ['/node_modules/', ...SERIAL] },
    { ...base, testMatch: SERIAL, displayName: 'serial', runner: '<rootDir>/test/support/serial.runner.js' },
  ],
  // One test file at a time shares a machine of two cores with the servers that it starts.
  maxWorkers: 2,
  testTimeout: 30000,
  reporters: ['default', '<rootDir>/test/support/skipped-tests.reporter.js'],
};
