import { AppProofVerifier, type AppProof, BcryptThreads } from '../../src/authn/app-proof.verifier';
import { TooManyRequests } from '../../src/errors/request-errors';
import { FixedClock } from './fixed-clock';
import { FixedMonotonicTime } from './fixed-monotonic-time';

export const APP_SECRET = '0123456789abcdef';
export const WRONG_HASH = `$2b$10$${'a'.repeat(22)}${'b'.repeat(31)}`;

/** Threads that compare when a test says so, and say what it says. */
class HeldThreads extends BcryptThreads {
  readonly asked: string[] = [];
  readonly hashes: string[] = [];
  isClosed = false;
  readonly #held: ((matches: boolean) => void)[] = [];

  override compare(text: string, hash: string): Promise<boolean> {
    this.asked.push(text);
    this.hashes.push(hash);
    return new Promise((resolve) => this.#held.push(resolve));
  }

  override close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
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

/** A verifier whose comparisons end when a test says so. */
export function heldProofs() {
  const [clock, time, threads] = [new FixedClock(), new FixedMonotonicTime(), new HeldThreads()];
  const verifier = new AppProofVerifier(clock, time, threads);
  const nowS = () => Math.floor(clock.nowMs() / 1000);
  const proof = (change: Partial<AppProof> = {}): AppProof => ({ appKey: 'key', timestampS: nowS(), hash: WRONG_HASH, ...change }); // prettier-ignore
  const verify = async (isKnown: boolean, peer = '10.0.0.1', change: Partial<AppProof> = {}) => {
    try {
      const refusal = await verifier.verify(proof(change), isKnown ? APP_SECRET : undefined, peer);
      return refusal?.cause ?? 'done';
    } catch (error: unknown) {
      if (error instanceof TooManyRequests) return error.reason;
      throw error;
    }
  };
  return { clock, time, threads, verifier, nowS, proof, verify };
}
