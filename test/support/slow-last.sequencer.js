const Sequencer = require('@jest/test-sequencer').default;

/** Suites that take seconds. A mutant is killed by the first test that fails, so a quick one should have the chance. */
const SLOW = /authn\/(app-proof|identity-dependency\.spec)|authz\/manifest/;

module.exports = class SlowLast extends Sequencer {
  /** @param {readonly { readonly path: string }[]} tests */
  sort(tests) {
    const isSlow = ({ path }) => Number(SLOW.test(path));
    return [...tests].sort((a, b) => isSlow(a) - isSlow(b) || (a.path < b.path ? -1 : 1));
  }
};
