const { default: TestRunner } = require('jest-runner');

/** Runs its tests in one worker. Jest lets the runners of its projects take turns, so nothing else runs meanwhile. */
module.exports = class SerialRunner extends TestRunner {
  constructor(globalConfig, context) {
    super({ ...globalConfig, maxWorkers: 1 }, context);
  }
};
