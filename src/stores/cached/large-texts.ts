import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { quietTurn } from '../../concurrency/quiet-turn';
import { Overloaded } from '../../errors/request-errors';
import type { CallContext } from '../../secrets/call-context';
import type { Secret } from '../../secrets/secret';
import type { Snapshot } from './snapshot';

const LARGE_BYTES = 64 * 1024;

const LARGE_TEXTS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 2_048,
  maxWaitingPerKey: 1_024,
  maxWaitMs: 10_000,
};

/**
 * Makes strings of the values in snapshots. Large ones are made one after the other, fairly between scopes, and a part in each turn of
 * the event loop. Returns 'wiped' where the snapshot was wiped meanwhile. @throws Overloaded where too many wait
 */
export class LargeTexts {
  readonly #queue: FairQueue;

  constructor(time: MonotonicTime) {
    this.#queue = new FairQueue(LARGE_TEXTS, time, () => new Overloaded());
  }

  secret(
    scope: string,
    snapshot: Snapshot,
    name: string,
    context: CallContext,
  ): Secret | undefined | Promise<Secret | undefined | 'wiped'> {
    if (snapshot.bytesOf(name) <= LARGE_BYTES) return snapshot.secret(name);
    const make = async (): Promise<Secret | undefined | 'wiped'> => {
      const secret = snapshot.isWiped ? 'wiped' : snapshot.secret(name);
      await quietTurn();
      return secret;
    };
    return this.#queue.run(scope, make, { signal: context.signal });
  }

  secrets(
    scope: string,
    snapshot: Snapshot,
    context: CallContext,
  ): readonly Secret[] | Promise<readonly Secret[] | 'wiped'> {
    if (snapshot.bytes <= LARGE_BYTES) return [...snapshot.secrets()];
    const make = async (): Promise<readonly Secret[] | 'wiped'> => {
      if (snapshot.isWiped) return 'wiped';
      const release = snapshot.hold();
      try {
        return await inParts(snapshot);
      } finally {
        release();
      }
    };
    return this.#queue.run(scope, make, { signal: context.signal });
  }
}

async function inParts(snapshot: Snapshot): Promise<readonly Secret[]> {
  const secrets: Secret[] = [];
  let bytes = 0;
  for (const secret of snapshot.secrets()) {
    secrets.push(secret);
    bytes += snapshot.bytesOf(secret.name);
    if (bytes < LARGE_BYTES) continue;
    bytes = 0;
    await quietTurn();
  }
  return secrets;
}
