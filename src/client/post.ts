/** The service answers with less: what has more is something else, or does not mean well. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class AnswerTooLarge extends Error {}

/** Waits for work that others may share and that goes on. @throws the reason of the signal when it aborts */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  return Promise.race([work, aborted]).finally(() => signal.removeEventListener('abort', abort));
}

/**
 * Posts a body as JSON. Its time limit is a timer that keeps the process alive and ends the wait by itself: a fetch whose connection is lost
 * at the wrong moment may never settle, and a process that waits for nothing else then ends with exit code 13.
 * @throws AnswerTooLarge, what fetch throws, or an AbortError when the time is over or the signal aborts
 */
export async function post(
  url: string,
  body: object,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<{ readonly response: Response; readonly text: string }> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  signal?.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(abort, timeoutMs);
  const exchange = async () => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      // The credentials are for nobody else.
      redirect: 'manual',
      signal: controller.signal,
    });
    return { response, text: await textOf(response) };
  };
  try {
    return await untilAborted(exchange(), controller.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** Counts the bytes after decompression, which are those that are held. */
async function textOf({ body }: Response): Promise<string> {
  if (body === null) return '';
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      await reader.cancel();
      throw new AnswerTooLarge();
    }
    text += decoder.decode(value, { stream: true });
  }
}
