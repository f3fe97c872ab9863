import { GrantsService } from '../../src/authz/grants.service';
import type { Caller } from '../../src/authn/caller';
import { FixedGrantSource } from '../support/fixed-grant-source';

const DECISIONS = 20_000;
const ROUNDS = 9;

function sourceOf(apps: number): FixedGrantSource {
  return new FixedGrantSource(
    Array.from({ length: apps }, (_, index) => ({
      app: `app-${index}`,
      user: `user-${index % 100}`,
      appKey: `key-${index}`,
      appSecret: `secret-${index}`,
      ops: ['RetrieveSecret', 'ListSecret?workspace=desk'],
    })),
  );
}

/** The time of many decisions that are spread over ten of the installed apps, in milliseconds. */
function decide(source: FixedGrantSource, apps: number): number {
  const service = new GrantsService(source);
  const callers = Array.from({ length: 10 }, (_, index): Caller => {
    const number = Math.floor((index * apps) / 10);
    return { app: `app-${number}`, user: `user-${number % 100}`, operations: 'any' };
  });
  const startedMs = performance.now();
  for (let turn = 0; turn < DECISIONS; turn++) {
    const caller = callers[turn % callers.length];
    if (caller) service.authorize(caller, 'ListSecret', 'desk');
    source.requireIndex().findByKey(`key-${turn % apps}`);
  }
  return performance.now() - startedMs;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

describe('a decision', () => {
  const few = sourceOf(10);
  const many = sourceOf(100_000);

  it('among 100,000 installed apps costs about what it costs among ten', () => {
    decide(few, 10);
    decide(many, 100_000);
    const ratios = Array.from({ length: ROUNDS }, () => decide(many, 100_000) / decide(few, 10));
    expect(median(ratios)).toBeLessThan(3);
  });

  it('walks over no list of apps', () => {
    const walk = (): never => {
      throw new Error('a walk over all apps');
    };
    const methods = ['values', 'entries', 'keys', 'forEach'] as const;
    const spies = methods.map((method) => jest.spyOn(Map.prototype, method).mockImplementation(walk));
    let failure: unknown;
    try {
      decide(many, 100_000);
      many.find('nobody', 'nothing');
      many.status();
    } catch (error: unknown) {
      failure = error;
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(failure).toBeUndefined();
  });
});
