// npm run test:kubernetes: grants, identity and registration on the kube-apiserver that KUBECONFIG names. A scratch one:
// it must not know Olares' kinds yet, since the suite counts what is installed.
/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.base.config.js'),
  roots: ['<rootDir>/test/real'],
  testMatch: ['**/test/real/kubernetes.cluster.ts'],
  testTimeout: 120_000,
  maxWorkers: 1,
};
