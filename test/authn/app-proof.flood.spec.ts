import type { AppProof } from '../../src/authn/app-proof.verifier';
import fc from '../support/fast-check';
import { heldProofs } from '../support/held-proofs';

// Thousands of proofs each: mutation testing leaves this suite out (jest.mutation.config.js).

describe('the knowledge whether an app has a key', () => {
  it('makes no difference to which proofs are refused, begun and ended when, whatever comes in which order', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ peer: fc.nat(3), many: fc.integer({ min: 1, max: 40 }) }) },
      { weight: 2, arbitrary: fc.record({ end: fc.integer({ min: 1, max: 30 }) }) },
      { weight: 1, arbitrary: fc.record({ waitMs: fc.integer({ min: 1, max: 6_000 }) }) },
      { weight: 1, arbitrary: fc.record({ early: fc.constantFrom('skew', 'malformed', 'long') }) },
    );
    const EARLY = {
      skew: { timestampS: 1 },
      malformed: { hash: 'x' },
      long: { appKey: 'k'.repeat(47) },
    } as const;
    /** What can be seen from outside: in which order which requests are answered, and with 429 or not. */
    const seen = async (isKnown: boolean, steps: readonly object[]): Promise<string[]> => {
      const { threads, time, verify } = heldProofs();
      const told: string[] = [];
      const all: Promise<unknown>[] = [];
      const send = (peer: number, change: Partial<AppProof>): void => {
        const id = all.length;
        all.push(
          verify(isKnown, `10.0.0.${peer}`, change).then((said) =>
            told.push(`${id} ${said === 'TOO_MANY_REQUESTS' ? '429' : '100001'}`),
          ),
        );
      };
      for (const one of steps as readonly {
        peer?: number;
        many?: number;
        end?: number;
        waitMs?: number;
        early?: keyof typeof EARLY;
      }[]) {
        for (let i = 0; i < (one.many ?? 0); i += 1) send(one.peer ?? 0, {});
        if (one.early !== undefined) send(0, EARLY[one.early]);
        if (one.end !== undefined) await threads.end(one.end);
        if (one.waitMs !== undefined) time.advance(one.waitMs);
        await new Promise(setImmediate);
        told.push('-');
      }
      await threads.end(all.length);
      await Promise.all(all);
      return told;
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        expect(await seen(true, steps)).toEqual(await seen(false, steps));
      }),
      { numRuns: 60 },
    );
  });
});

describe('a hash that was accepted', () => {
  it('is not pushed out by any number of others, and none is accepted that could not be remembered', async () => {
    const { clock, threads, verify } = heldProofs();
    const use = async (n: number): Promise<string> => {
      const said = verify(true, undefined, { hash: `$2b$10$${String(n).padStart(53, '.')}` });
      await threads.end(1, true);
      return said;
    };
    for (let n = 0; n < 10_000; n += 1) expect(await use(n)).toBe('done');
    expect(await use(10_000)).toBe('TOO_MANY_REQUESTS');
    expect(await use(0)).toBe('replayed');
    // Only what is long over makes room.
    clock.advance(60_000);
    expect(await use(10_000)).toBe('done');
  });

  it('stays known as long as a copy of it may be under way, however many others come meanwhile', async () => {
    const { clock, threads, verify } = heldProofs();
    const copies = [verify(true), verify(true)];
    clock.advance(14_000);
    await threads.end(1, true);
    for (let n = 0; n < 10_000; n += 1) {
      const other = verify(true, '10.0.0.2', { hash: `$2b$10$${String(n).padStart(53, '.')}` });
      await threads.endLast(true);
      expect(await other).toBe(n < 9_999 ? 'done' : 'TOO_MANY_REQUESTS');
    }
    await threads.end(1, true);
    expect(await Promise.all(copies)).toEqual(['done', 'replayed']);
  });
});
