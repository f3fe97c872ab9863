import { Mutex } from 'async-mutex';
import type { Secret } from '../secrets/secret';
import type { Snapshot } from './snapshot';

const LARGE_BYTES = 512 * 1024;

/** Makes texts of whole snapshots: of many large ones that are asked for at once, one after the other. */
export class ListTexts {
  readonly #large = new Mutex();

  /** Undefined where the snapshot was let go while it waited. */
  secretsOf(snapshot: Snapshot): readonly Secret[] | Promise<readonly Secret[] | undefined> {
    return snapshot.bytes > LARGE_BYTES ? this.#inTurn(snapshot) : snapshot.secrets();
  }

  async #inTurn(snapshot: Snapshot): Promise<readonly Secret[] | undefined> {
    const release = await this.#large.acquire();
    // By then whoever asked has made an answer of it.
    setImmediate(release);
    return snapshot.isWiped ? undefined : snapshot.secrets();
  }
}
