// npm run test:infisical: the whole contract against the real server that the environment names.
// INFISICAL_SLOW=true for one that allows 40 calls a minute: it is waited for, not outrun.
const slow = process.env.INFISICAL_SLOW === 'true';

/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.base.config.js'),
  roots: ['<rootDir>/test/real'],
  testMatch: ['**/test/real/**/*.real.ts'],
  testTimeout: slow ? 3_600_000 : 600_000,
  maxWorkers: 1,
};
