import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { quietTurn } from '../../concurrency/quiet-turn';
import { Overloaded } from '../../errors/request-errors';
import type { Secret } from '../../secrets/secret';
import type { Snapshot } from './snapshot';

const LARGE_BYTES = 64 * 1024;

const TURNS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 2_048,
  maxWaitingPerKey: 1_024,
  maxWaitMs: 10_000,
};

/**
 * Makes texts of what snapshots hold: of many large ones that are asked for at once, one after the other, a part in each turn of the
 * event loop and the scopes by turns. `gone` where the snapshot was let go of meanwhile. @throws Overloaded where too many wait
 */
export class LargeTexts {
  readonly #turns: FairQueue;

  constructor(time: MonotonicTime) {
    this.#turns = new FairQueue(TURNS, time, () => new Overloaded());
  }

  secret(
    scope: string,
    snapshot: Snapshot,
    name: string,
  ): Secret | undefined | Promise<Secret | undefined | 'gone'> {
    if (snapshot.bytesOf(name) <= LARGE_BYTES) return snapshot.secret(name);
    return this.#turns.run(scope, async () => {
      const secret = snapshot.isWiped ? 'gone' : snapshot.secret(name);
      await quietTurn();
      return secret;
    });
  }

  secrets(scope: string, snapshot: Snapshot): readonly Secret[] | Promise<readonly Secret[] | 'gone'> {
    if (snapshot.bytes <= LARGE_BYTES) return [...snapshot.secrets()];
    return this.#turns.run(scope, async () => {
      if (snapshot.isWiped) return 'gone';
      const release = snapshot.hold();
      try {
        return await inParts(snapshot);
      } finally {
        release();
      }
    });
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
