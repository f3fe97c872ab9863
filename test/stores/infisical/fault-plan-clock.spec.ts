import { eventually } from '../../support/eventually';
import {
  runOperation,
  lineOf,
  openTestedStore,
  LONG_TIMEOUTS,
  recovery,
  type TestedStore,
} from './fault-plan-run';

const DAY_MS = 86_400_000;

describe('a clock that jumps', () => {
  /** Moves the clock while the first call of the operation is under way. */
  const moveClock = async ({ fake, clock }: TestedStore, ms: number) => {
    await eventually(() => expect(fake.calls).not.toEqual([]));
    clock.advance(ms);
  };

  it.each([
    ['put back', -DAY_MS],
    ['put forward', DAY_MS],
  ])('in the middle of a write makes its deadline neither longer nor shorter: %s', async (_title, ms) => {
    // The deadline of the operation is all that ends its calls.
    const tested = await openTestedStore('v3', { requestTimeoutMs: 10_000, operationTimeoutMs: 1_600 });
    tested.fake.fail({ times: 999, fault: { kind: 'hang', when: 'before' } });
    const result = runOperation(tested, 'create');
    await moveClock(tested, ms);
    expect(await result).toBe(lineOf({ outcome: 'StoreOutcomeUnknown', sent: 1, verifications: 1 }));
  });

  it('in the middle of a write leaves time for the list that shows its outcome', async () => {
    const tested = await openTestedStore('v3', { ...LONG_TIMEOUTS, requestTimeoutMs: 300 });
    tested.fake.fail({ fault: { kind: 'hang', when: 'after' } });
    const result = runOperation(tested, 'create');
    await moveClock(tested, DAY_MS);
    expect(await result).toBe(lineOf({ outcome: 'done', sent: 1, verifications: 1 }));
  });

  it('does not lengthen the pause after refused credentials', async () => {
    const tested = await openTestedStore('v3', LONG_TIMEOUTS, 'new');
    const right = tested.fake.identity.clientSecret;
    tested.fake.identity.clientSecret = 'another';
    await runOperation(tested, 'list');
    tested.fake.identity.clientSecret = right;
    tested.clock.advance(-DAY_MS);
    expect(await recovery(tested)).toBe('recovered');
  });

  it('does not lengthen the time for which readiness is remembered', async () => {
    const tested = await openTestedStore('v3', LONG_TIMEOUTS);
    tested.fake.fail({ times: 999, fault: { kind: 'reset', when: 'before' } });
    await runOperation(tested, 'ping');
    tested.fake.heal();
    tested.clock.advance(-DAY_MS);
    await tested.store.ping();
  });
});
