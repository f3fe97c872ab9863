// npm run test:helm:cluster: every rendering of the chart, by a server-side dry run, on the API server that KUBECONFIG names.
/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.base.config.js'),
  roots: ['<rootDir>/test/helm'],
  testMatch: ['**/test/helm/chart.cluster.ts'],
  testTimeout: 120_000,
  maxWorkers: 1,
};
