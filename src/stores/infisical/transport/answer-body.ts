import { waitFor } from '../../../time/deadline';
import type { Readable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import type { MonotonicTime } from '../../../time/clock';
import { parseSlicedJson } from './sliced-json';

/**
 * The time limits of one call: `timeoutMs` for the server, and `maxWaitMs` after which the call ends in any case. Time for which we
 * make the server wait does not count as the server's. The call also ends when the signal of its caller aborts.
 */
export class CallTime {
  readonly #abort = new AbortController();
  readonly #cancelMaxWait: () => void;
  #cancelTimeout: () => void = () => undefined;
  readonly #abortWithCaller = (): void => this.#abort.abort();
  #leftMs: number;
  #sinceMs = 0;

  constructor(
    timeoutMs: number,
    maxWaitMs: number,
    private readonly time: MonotonicTime,
    private readonly caller?: AbortSignal,
  ) {
    this.#leftMs = timeoutMs;
    if (caller?.aborted === true) this.#abort.abort();
    else caller?.addEventListener('abort', this.#abortWithCaller);
    this.#cancelMaxWait = time.after(maxWaitMs, () => this.#abort.abort());
    this.#startTimeout();
  }

  /** Aborts when the time is up, or the caller has gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Waits for `work` without counting that time as the server's. */
  async paused<T>(work: Promise<T>): Promise<T> {
    this.#cancelTimeout();
    this.#leftMs -= this.time.nowMs() - this.#sinceMs;
    try {
      return await work;
    } finally {
      this.#startTimeout();
    }
  }

  end(): void {
    this.#cancelTimeout();
    this.#cancelMaxWait();
    this.caller?.removeEventListener('abort', this.#abortWithCaller);
  }

  #startTimeout(): void {
    this.#sinceMs = this.time.nowMs();
    this.#cancelTimeout = this.time.after(Math.max(1, this.#leftMs), () => this.#abort.abort());
  }
}

/** An answer was larger than the limit; the rest of it was not received. */
export class AnswerTooLarge extends Error {}

/** An answer whose headers have been received. */
interface StreamedAnswer {
  readonly data: Readable;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Answers up to this size are read without waiting for others. */
const SMALL_BYTES = 512 * 1024;

/** Parsing takes up to four times the size of the text for a moment, so large answers are read one at a time. */
const MAX_LARGE_ANSWERS = 1;

/**
 * Reads answers in bounded memory: large ones one by one, and none above the limit. The rest of a waiting answer stays with the server,
 * as its connection is not read meanwhile.
 */
export class AnswerBodies {
  readonly #large = new Semaphore(MAX_LARGE_ANSWERS);

  /**
   * Returns the parsed body, or undefined where it is not JSON.
   * @throws AnswerTooLarge, or the error that ended the body early
   */
  async read({ data: body, headers }: StreamedAnswer, maxBytes: number, time: CallTime): Promise<unknown> {
    const { signal } = time;
    const destroy = (): void => void body.destroy(new Error('The time of the call is up.'));
    signal.addEventListener('abort', destroy, { once: true });
    let release: (() => void) | undefined;
    try {
      signal.throwIfAborted();
      const announcedBytes = Number(headers['content-length'] ?? 0);
      if (announcedBytes > maxBytes) throw new AnswerTooLarge();
      const received = new GrowingBuffer();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (received.length + chunk.length > maxBytes) throw new AnswerTooLarge();
        if (release === undefined && received.length + chunk.length > SMALL_BYTES) {
          release = await time.paused(this.#permit(signal));
          received.reserve(announcedBytes);
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

  /** Waits for a permit to read a large answer, and returns its release. @throws when the signal aborts */
  async #permit(signal: AbortSignal): Promise<() => void> {
    const permit = this.#large.acquire();
    try {
      const [, release] = await waitFor(permit, { signal });
      return release;
    } catch (error: unknown) {
      void permit.then(([, release]) => release());
      throw error;
    }
  }
}

/** One piece of memory, since a list of chunks could be a list of single bytes. */
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

  /** Returns the bytes and drops its own reference to them. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.alloc(0);
    return bytes;
  }
}
