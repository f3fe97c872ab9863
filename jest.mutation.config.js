// The tests that mutation testing runs for each mutant: those of the folders that are mutated, without a server and in milliseconds.
const base = require('./jest.base.config.js');

module.exports = {
  ...base,
  testMatch: ['<rootDir>/test/{authn,authz,secrets}/*.spec.ts'],
  // These measure seconds or try thousands of cases: too slow to run for each mutant.
  testPathIgnorePatterns: ['/node_modules/', 'authz/manifest-cost', 'authz/manifest\\.properties'],
  testSequencer: '<rootDir>/test/support/slow-last.sequencer.js',
  testTimeout: 30000,
};
