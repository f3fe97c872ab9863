// The tests that mutation testing runs for each change: those of the folders that are changed, as far as they need no server and no seconds.
const base = require('./jest.base.config.js');

module.exports = {
  ...base,
  testMatch: [
    '<rootDir>/test/{authn,authz,secrets}/*.spec.ts',
    '<rootDir>/test/grant-sources/fixed-grant-source.spec.ts',
  ],
  // Thousands of cases, and real servers: what these notice, a quick suite beside them should notice too.
  testPathIgnorePatterns: [
    '/node_modules/',
    'authn/app-proof\\.flood',
    'authn/identity-dependency\\.spec',
    'authz/manifest-cost',
    'authz/manifest\\.properties',
  ],
  testTimeout: 30000,
};
