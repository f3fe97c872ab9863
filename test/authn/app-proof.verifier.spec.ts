import { hashSync } from 'bcrypt';
import { BcryptThreads } from '../../src/authn/app-proof.verifier';
import { APP_SECRET, heldProofs, WRONG_HASH } from '../support/held-proofs';

describe('the knowledge whether an app has a key', () => {
  it('is not revealed by a full queue: proofs of known and unknown keys are refused or wait alike', async () => {
    const { threads, verify } = heldProofs();
    const flood = Array.from({ length: 66 }, () => verify(false));
    expect(await Promise.all([verify(true), verify(false)])).toEqual(Array(2).fill('TOO_MANY_REQUESTS'));
    const elsewhere = [verify(true, '10.0.0.2'), verify(false, '10.0.0.2')];
    await threads.end(68);
    expect(threads.asked).toHaveLength(68);
    expect((await Promise.all([...flood, ...elsewhere])).every((said) => !said.includes('TOO_MANY'))).toBe(true);
  }); // prettier-ignore

  it.each([
    ['a used hash', true],
    ['a wrong hash', false],
  ])('is not told by the time that is taken: %s is compared for a key that nobody has, too', async (_title, matches) => {
    const { threads, verify } = heldProofs();
    for (const isKnown of [true, true, false]) {
      const said = verify(isKnown);
      await threads.end(1, matches);
      await said;
    }
    expect(threads.asked).toHaveLength(3);
    // bcrypt reads 72 bytes in any case: a text without a secret takes as long.
    expect(threads.asked[2]).toBe(threads.asked[0]?.replace(APP_SECRET, ''));
  });
}); // prettier-ignore

describe('a proof', () => {
  const right = 'c'.repeat(53);

  it.each(['2a', '2b', '2y'])('with a hash of $%s$ is compared as one of $2b$ over key, timestamp and secret', async (version) => {
    const { threads, nowS, verify } = heldProofs();
    const said = verify(true, undefined, { hash: `$${version}$10$${right}` });
    await threads.end(1, true);
    expect(await said).toBe('done');
    expect([threads.asked, threads.hashes]).toEqual([[`key${nowS()}${APP_SECRET}`], [`$2b$10$${right}`]]);
  }); // prettier-ignore

  it.each([
    '',
    right,
    `$2b$04$${right}`,
    `$2b$11$${right}`,
    `$2b$31$${right}`,
    `$2x$10$${right}`,
    `$2$10$${right}`,
    `x$2b$10$${right}`,
    `$2b$10$${right}x`,
    `$2b$10$${right}\n`,
    `$2b$10$${right.slice(1)}`,
    `$2b$10$${right.slice(1)}+`,
  ])('with the hash %j is malformed, and nothing is computed', async (hash) => {
    const { threads, verify } = heldProofs();
    expect(await verify(true, undefined, { hash })).toBe('malformed');
    expect(threads.asked).toEqual([]);
  });

  it.each([
    [-11, true],
    [-10, false],
    [10, false],
    [11, true],
  ])('whose timestamp is %d s ahead of our clock is refused for that: %s', async (skewS, isRefused) => {
    const { clock, threads, verifier, nowS, proof } = heldProofs();
    clock.advance(999);
    const said = verifier.verify(proof({ timestampS: nowS() + skewS }), APP_SECRET, '10.0.0.1');
    await threads.end(1, true);
    expect(await said).toEqual(isRefused ? { cause: 'clock_skew', skewS } : undefined);
  });

  it.each([
    ['k'.repeat(46), 'done'],
    ['k'.repeat(47), 'key_too_long'],
    ['é'.repeat(23), 'done'],
    ['é'.repeat(24), 'key_too_long'],
  ])('leaves bcrypt 16 bytes of the secret at least: the key %s is %s', async (appKey, expected) => {
    const { threads, verify } = heldProofs();
    const said = verify(true, undefined, { appKey });
    await threads.end(1, true);
    expect(await said).toBe(expected);
  });

  it('that matches is refused where no app has the key, and one that does not match where an app has it', async () => {
    const { threads, verify } = heldProofs();
    const said = [verify(false), verify(true)];
    await threads.end(1, true);
    await threads.end(1, false);
    expect(await Promise.all(said)).toEqual(['unknown_key', 'wrong_secret']);
  });

  it('is accepted once, be the version of its hash another the second time', async () => {
    const { threads, verify } = heldProofs();
    const said = ['2a', '2b'].map((version) => verify(true, undefined, { hash: `$${version}$10$${right}` }));
    await threads.end(2, true);
    expect(await Promise.all(said)).toEqual(['done', 'replayed']);
  });

  it('counts for all whose address is not known together', async () => {
    const { threads, verifier, proof } = heldProofs();
    const flood = Array.from({ length: 66 }, (_, i) =>
      verifier.verify(proof(), undefined, i % 2 === 0 ? undefined : 'no address'),
    );
    await expect(verifier.verify(proof(), undefined, undefined)).rejects.toMatchObject({
      retryAfterSeconds: 1,
    });
    await threads.end(66);
    await Promise.all(flood);
  });

  it('is compared on threads that end with the service', async () => {
    const { threads, verifier } = heldProofs();
    await verifier.onModuleDestroy();
    expect(threads.isClosed).toBe(true);
  });
});

describe('a flood of proofs', () => {
  it('delays each proof from another address by one that is under way, and refuses none of them', async () => {
    const { threads, verify } = heldProofs();
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
    const { threads, verify } = heldProofs();
    const flood = Array.from({ length: 40 }, (_, peer) =>
      Array.from({ length: 10 }, () => verify(false, `10.0.1.${peer}`)),
    ).flat();
    const right = verify(true, '10.0.0.9');
    await threads.end(200);
    expect(await right).toBe('wrong_secret');
    await Promise.all(flood);
  });

  it('of one address does not harm that address once it is over', async () => {
    const { threads, time, verify } = heldProofs();
    const flood = Array.from({ length: 100 }, () => verify(false));
    time.advance(5_000);
    await threads.end(2);
    expect((await Promise.all(flood)).filter((said) => said === 'TOO_MANY_REQUESTS')).toHaveLength(98);
    const right = verify(true);
    await threads.end(1, true);
    expect(await right).toBe('done');
  });

  it('counts an address once, in whichever form the socket names it', async () => {
    const { threads, verify } = heldProofs();
    const flood = Array.from({ length: 66 }, (_, i) => verify(false, i % 2 ? '10.0.0.1' : '::ffff:10.0.0.1'));
    expect(await verify(true, '::ffff:a00:1')).toBe('TOO_MANY_REQUESTS');
    await threads.end(66);
    await Promise.all(flood);
  });
});

describe('a hash that was accepted', () => {
  it('is accepted once, even where copies of it waited in the queue until its time ran out', async () => {
    const { clock, threads, verify } = heldProofs();
    const copies = [verify(true), verify(true), verify(true)];
    clock.advance(14_000);
    await threads.end(3, true);
    expect((await Promise.all(copies)).sort()).toEqual(['done', 'replayed', 'replayed']);
  });

  it('is one of 10,000 at most that are remembered: further proofs wait until the first could not be accepted again', async () => {
    const { clock, threads, verify } = heldProofs();
    const use = async (at: number): Promise<string> => {
      const said = verify(true, undefined, { hash: `$2b$10$${String(at).padStart(53, '0')}` });
      await threads.end(1, true);
      return said;
    };
    for (let at = 0; at < 9_999; at += 1) expect(await use(at)).toBe('done');
    clock.advance(1_000);
    expect(await use(9_999)).toBe('done');
    expect(await use(10_000)).toBe('TOO_MANY_REQUESTS');
    // 11 s from the timestamp that a proof is accepted for, and twice the 5 s that one may wait for its turn.
    clock.advance(19_999);
    expect(await use(10_001)).toBe('TOO_MANY_REQUESTS');
    clock.advance(1);
    expect(await use(10_002)).toBe('done');
    expect(await use(9_999)).toBe('replayed');
    expect(await use(0)).toBe('done');
  });

  it('stays known while the clock is put back and comes to the same second again', async () => {
    const { clock, threads, verify } = heldProofs();
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
    const said = [threads.compare('text', right), threads.compare('other', right), threads.compare('text', WRONG_HASH)];
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
