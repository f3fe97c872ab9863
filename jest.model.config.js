// npm run test:model: the model-based test with other seeds, which it prints, and at least 300,000 commands.
process.env.LONG_TESTS = 'true';
process.env.FAST_CHECK_SEED ??= 'random';

/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.base.config.js'),
  roots: ['<rootDir>/test/model'],
  testMatch: ['**/model.spec.ts'],
  maxWorkers: 1,
};
