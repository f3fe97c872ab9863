import type { MonotonicTime } from '../../../time/clock';
import type { Readable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import { parseSlicedJson } from './sliced-json';

/**
 * The time of one call on the wire: what the server may take, and within which it must be over in any case. What we make
 * the server wait for does not count as the server's time.
 */
export class CallTime {
  readonly #cut = new AbortController();
  readonly #cancelEnd: () => void;
  #cancelWait: () => void = () => undefined;
  #leftMs: number;
  #sinceMs = 0;

  constructor(
    timeoutMs: number,
    maxWaitMs: number,
    private readonly time: MonotonicTime,
  ) {
    this.#leftMs = timeoutMs;
    this.#cancelEnd = time.after(maxWaitMs, () => this.#cut.abort());
    this.#run();
  }

  /** Aborts when the time is up. */
  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  async paused<T>(work: Promise<T>): Promise<T> {
    this.#cancelWait();
    this.#leftMs -= this.time.nowMs() - this.#sinceMs;
    try {
      return await work;
    } finally {
      this.#run();
    }
  }

  end(): void {
    this.#cancelWait();
    this.#cancelEnd();
  }

  #run(): void {
    this.#sinceMs = this.time.nowMs();
    this.#cancelWait = this.time.after(Math.max(1, this.#leftMs), () => this.#cut.abort());
  }
}

/** An answer was larger than what is taken; the rest of it was not received. */
export class AnswerTooLarge extends Error {}

/** An answer whose head has come. */
interface StreamedAnswer {
  readonly data: Readable;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** What every answer may hold, however many arrive at once. */
const SMALL_BYTES = 512 * 1024;

/** Text that is parsed takes up to four times its bytes for a moment: of large answers, one is taken in at a time. */
const LARGE_AT_ONCE = 1;

/**
 * Takes in answers so that their memory is bounded: one by one when they are large, and none above the cap. What waits
 * stays with the server, for the connection is read no further.
 */
export class AnswerBodies {
  readonly #large = new Semaphore(LARGE_AT_ONCE);

  /**
   * The parsed body; undefined where it is not JSON.
   * @throws AnswerTooLarge, or what ended the body before its end
   */
  async take({ data: body, headers }: StreamedAnswer, maxBytes: number, time: CallTime): Promise<unknown> {
    const { signal } = time;
    const destroy = (): void => void body.destroy(new Error('The time of the call is up.'));
    signal.addEventListener('abort', destroy, { once: true });
    let release: (() => void) | undefined;
    try {
      signal.throwIfAborted();
      const announced = Number(headers['content-length'] ?? 0);
      if (announced > maxBytes) throw new AnswerTooLarge();
      const received = new GrowingBuffer();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (received.length + chunk.length > maxBytes) throw new AnswerTooLarge();
        if (release === undefined && received.length + chunk.length > SMALL_BYTES) {
          release = await time.paused(this.#turn(signal));
          received.reserve(announced);
        }
        received.add(chunk);
      }
      return await parseSlicedJson(received.take());
    } finally {
      body.destroy();
      release?.();
      signal.removeEventListener('abort', destroy);
    }
  }

  async #turn(signal: AbortSignal): Promise<() => void> {
    const turn = this.#large.acquire();
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('The time of the call is up.')), {
        once: true,
      });
    });
    try {
      const [, release] = await Promise.race([turn, aborted]);
      return release;
    } catch (error: unknown) {
      void turn.then(([, release]) => release());
      throw error;
    }
  }
}

/** One piece of memory: a list of chunks could be one of single bytes. */
class GrowingBuffer {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length) this.reserve(Math.max(needed, 2 * this.#bytes.length));
    chunk.copy(this.#bytes, this.#length);
    this.#length = needed;
  }

  reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(bytes);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  /** Lets go of the bytes. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.alloc(0);
    return bytes;
  }
}
