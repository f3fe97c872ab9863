import { describeGrantSource } from '../conformance/grant-source.conformance';
import { FixedGrantSource } from '../support/fixed-grant-source';

describeGrantSource('the fixed source of the tests', {
  inForceWithinMs: 0,
  open: async (apps) => {
    const source = new FixedGrantSource(apps);
    return {
      source,
      install: async (installed) => source.set(installed),
      dispose: () => source.close(),
    };
  },
});

describe('the fixed source of the tests', () => {
  it('can be made not ready', () => {
    const source = new FixedGrantSource([]);
    source.setReady(false);
    expect(source.status().ready).toBe(false);
  });
});
