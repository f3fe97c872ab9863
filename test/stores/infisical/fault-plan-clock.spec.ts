import { eventually } from '../../support/eventually';
import { drive, lineOf, openScene, PATIENT, recovery, type Scene } from './fault-plan-run';

const DAY_MS = 86_400_000;

describe('a clock that jumps', () => {
  /** While the first call of the operation is under way. */
  const jumpsIn = async ({ fake, clock }: Scene, ms: number) => {
    await eventually(() => expect(fake.calls).not.toEqual([]));
    clock.advance(ms);
  };

  it.each([
    ['put back', -DAY_MS],
    ['put forward', DAY_MS],
  ])('in the middle of a write makes its deadline neither longer nor shorter: %s', async (_title, ms) => {
    // The deadline of the operation is all that ends its calls.
    const scene = await openScene('v3', { requestTimeoutMs: 10_000, operationTimeoutMs: 1_600 });
    scene.fake.fail({ times: 999, fault: { kind: 'hang', when: 'before' } });
    const course = drive(scene, 'create');
    await jumpsIn(scene, ms);
    expect(await course).toBe(lineOf({ ended: 'StoreOutcomeUnknown', sent: 1, looks: 1 }));
  });

  it('in the middle of a write leaves time for the look that decides it', async () => {
    const scene = await openScene('v3', { ...PATIENT, requestTimeoutMs: 300 });
    scene.fake.fail({ fault: { kind: 'hang', when: 'after' } });
    const course = drive(scene, 'create');
    await jumpsIn(scene, DAY_MS);
    expect(await course).toBe(lineOf({ ended: 'done', sent: 1, looks: 1 }));
  });

  it('makes the rest of refused credentials no longer', async () => {
    const scene = await openScene('v3', PATIENT, 'new');
    const right = scene.fake.identity.clientSecret;
    scene.fake.identity.clientSecret = 'another';
    await drive(scene, 'list');
    scene.fake.identity.clientSecret = right;
    scene.clock.advance(-DAY_MS);
    expect(await recovery(scene)).toBe('recovered');
  });

  it('makes readiness remember no longer', async () => {
    const scene = await openScene('v3', PATIENT);
    scene.fake.fail({ times: 999, fault: { kind: 'reset', when: 'before' } });
    await drive(scene, 'ping');
    scene.fake.heal();
    scene.clock.advance(-DAY_MS);
    await scene.store.ping();
  });
});
