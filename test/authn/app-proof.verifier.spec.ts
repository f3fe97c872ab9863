import fc from '../support/fast-check';
import { hashSync } from 'bcrypt';
import { AppProofVerifier, type AppProof, BcryptThreads } from '../../src/authn/app-proof.verifier';
import { TooManyRequests } from '../../src/errors/request-errors';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const SECRET = '0123456789abcdef';
const WRONG = `$2b$10$${'a'.repeat(22)}${'b'.repeat(31)}`;

/** Threads that compare when a test says so, and say what it says. */
class HeldThreads extends BcryptThreads {
  readonly asked: string[] = [];
  readonly #held: ((matches: boolean) => void)[] = [];

  override compare(text: string): Promise<boolean> {
    this.asked.push(text);
    return new Promise((resolve) => this.#held.push(resolve));
  }

  async endLast(matches: boolean): Promise<void> {
    this.#held.pop()?.(matches);
    await new Promise(setImmediate);
  }

  async end(count: number, matches = false): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.#held.shift()?.(matches);
      await new Promise(setImmediate);
    }
  }
}

function build() {
  const [clock, time, threads] = [new FixedClock(), new FixedMonotonicTime(), new HeldThreads()];
  const verifier = new AppProofVerifier(clock, time, threads);
  const nowS = () => Math.floor(clock.nowMs() / 1000);
  const proof = (change: Partial<AppProof> = {}): AppProof => ({ appKey: 'key', timestampS: nowS(), hash: WRONG, ...change }); // prettier-ignore
  const verify = async (isKnown: boolean, peer = '10.0.0.1', change: Partial<AppProof> = {}) => {
    try {
      const refusal = await verifier.verify(proof(change), isKnown ? SECRET : undefined, peer);
      return refusal?.cause ?? 'done';
    } catch (error: unknown) {
      if (error instanceof TooManyRequests) return error.reason;
      throw error;
    }
  };
  return { clock, time, threads, verifier, nowS, proof, verify };
}

describe('the knowledge whether an app has a key', () => {
  it('is not revealed by a full queue: proofs of known and unknown keys are refused or wait alike', async () => {
    const { threads, verify } = build();
    const flood = Array.from({ length: 66 }, () => verify(false));
    expect(await Promise.all([verify(true), verify(false)])).toEqual(Array(2).fill('TOO_MANY_REQUESTS'));
    const elsewhere = [verify(true, '10.0.0.2'), verify(false, '10.0.0.2')];
    await threads.end(68);
    expect(threads.asked).toHaveLength(68);
    expect((await Promise.all([...flood, ...elsewhere])).every((said) => !said.includes('TOO_MANY'))).toBe(true);
  }); // prettier-ignore

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
      const { threads, time, verify } = build();
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

  it.each([
    ['a used hash', true],
    ['a wrong hash', false],
  ])('is not told by the time that is taken: %s is compared for a key that nobody has, too', async (_title, matches) => {
    const { threads, verify } = build();
    for (const isKnown of [true, true, false]) {
      const said = verify(isKnown);
      await threads.end(1, matches);
      await said;
    }
    expect(threads.asked).toHaveLength(3);
    // bcrypt reads 72 bytes in any case: a text without a secret takes as long.
    expect(threads.asked[2]).toBe(threads.asked[0]?.replace(SECRET, ''));
  });
}); // prettier-ignore

describe('a flood of proofs', () => {
  it('delays each proof from another address by one that is under way, and refuses none of them', async () => {
    const { threads, verify } = build();
    const flood = Array.from({ length: 400 }, (_, i) => verify(i % 2 === 0, `10.0.1.${i % 4}`));
    const begunBefore = threads.asked.length;
    const right = Array.from({ length: 25 }, () => verify(true, '10.0.0.9', { appKey: 'right' }));
    await threads.end(1);
    // Its turn is the next but the three of those who flood.
    await threads.end(4);
    expect(threads.asked.slice(begunBefore).filter((text) => text.startsWith('right')).length).toBeGreaterThan(0);
    await threads.end(500);
    expect(await Promise.all(right)).toEqual(Array(25).fill('wrong_secret'));
    const told = await Promise.all(flood);
    expect(told.filter((said) => said === 'TOO_MANY_REQUESTS').length).toBeGreaterThan(250);
  }); // prettier-ignore

  it('keeps no other address out of the queue, from however many addresses it comes', async () => {
    const { threads, verify } = build();
    const flood = Array.from({ length: 40 }, (_, peer) =>
      Array.from({ length: 10 }, () => verify(false, `10.0.1.${peer}`)),
    ).flat();
    const right = verify(true, '10.0.0.9');
    await threads.end(200);
    expect(await right).toBe('wrong_secret');
    await Promise.all(flood);
  });

  it('of one address does not harm that address once it is over', async () => {
    const { threads, time, verify } = build();
    const flood = Array.from({ length: 100 }, () => verify(false));
    time.advance(5_000);
    await threads.end(2);
    expect((await Promise.all(flood)).filter((said) => said === 'TOO_MANY_REQUESTS')).toHaveLength(98);
    const right = verify(true);
    await threads.end(1, true);
    expect(await right).toBe('done');
  });

  it('counts an address once, in whichever form the socket names it', async () => {
    const { threads, verify } = build();
    const flood = Array.from({ length: 66 }, (_, i) => verify(false, i % 2 ? '10.0.0.1' : '::ffff:10.0.0.1'));
    expect(await verify(true, '::ffff:a00:1')).toBe('TOO_MANY_REQUESTS');
    await threads.end(66);
    await Promise.all(flood);
  });
});

describe('a hash that was accepted', () => {
  it('is accepted once, even where copies of it waited in the queue until its time ran out', async () => {
    const { clock, threads, verify } = build();
    const copies = [verify(true), verify(true), verify(true)];
    clock.advance(14_000);
    await threads.end(3, true);
    expect((await Promise.all(copies)).sort()).toEqual(['done', 'replayed', 'replayed']);
  });

  it('is not pushed out by any number of others, and none is accepted that could not be remembered', async () => {
    const { clock, threads, verify } = build();
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
    const { clock, threads, verify } = build();
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

  it('stays known while the clock is put back and comes to the same second again', async () => {
    const { clock, threads, verify } = build();
    const use = async (): Promise<string> => {
      const said = verify(true);
      await threads.end(1, true);
      return said;
    };
    expect(await use()).toBe('done');
    clock.advance(3_600_000);
    clock.advance(-3_600_000);
    expect(await use()).toBe('replayed');
  });
});

describe('BcryptThreads', () => {
  const right = hashSync('text', 10);
  const opened: BcryptThreads[] = [];
  const open = (file?: string): BcryptThreads => {
    const one = new BcryptThreads(file);
    opened.push(one);
    return one;
  };
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
  });

  it('returns what bcrypt returns, for concurrent calls too', async () => {
    const threads = open();
    const said = [threads.compare('text', right), threads.compare('other', right), threads.compare('text', WRONG)];
    expect(await Promise.all(said)).toEqual([true, false, false]);
    expect(await threads.compare('text', right)).toBe(true);
  }); // prettier-ignore

  it('replaces a thread that died, and compares its proof and later ones again', async () => {
    const threads = open(`${__dirname}/dying-worker.mjs`);
    expect(await threads.compare('sound', '')).toBe(true);
    await expect(threads.compare('dies always', '')).rejects.toThrow('ended');
    expect(await threads.compare('sound', '')).toBe(true);
    // Right behind its answer, or as a free one, with nobody waiting for it.
    for (const way of ['dies at once', 'dies soon', 'dies at once', 'dies soon']) {
      expect(await threads.compare(way, '')).toBe(true);
      expect(await threads.compare('sound', '')).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(await threads.compare('sound', '')).toBe(true);
    }
  });

  it('fails only the proof where a thread cannot be started', async () => {
    const threads = open(`${__dirname}/no-such-worker.mjs`);
    await expect(threads.compare('text', right)).rejects.toThrow('ended');
    await expect(threads.compare('text', right)).rejects.toThrow('ended');
  });

  it('ends all threads and their work when it is closed, and starts none afterwards', async () => {
    const threads = open();
    const said = threads.compare('text', right);
    await threads.close();
    await expect(said).rejects.toThrow('shutting down');
    await expect(threads.compare('text', right)).rejects.toThrow('shutting down');
  });
});
