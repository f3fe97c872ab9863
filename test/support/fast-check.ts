import fc from 'fast-check';

/** The gate's seed is fixed, so that it needs no luck; FAST_CHECK_SEED=random, or a number, looks elsewhere. A failure prints its seed. */
const seed = process.env['FAST_CHECK_SEED'] ?? '20261127';
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) });

export default fc;
