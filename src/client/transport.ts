import { errorOf, failureIn, field, mayPass, OutcomeUnknownError, SecretVaultError } from './errors.js';

export type Operation = 'RetrieveSecret' | 'CreateSecret' | 'UpdateSecret' | 'DeleteSecret' | 'ListSecret';

/** The result of one successful operation. */
export interface Answer {
  readonly envelope: unknown;
  /** Of a read; absent where something between here and the service takes it away. */
  readonly etag?: string;
}

/** One HTTP request. `isRead` says that it changes nothing, so that it may be sent again whatever happened to it. */
export interface Call {
  readonly url: string;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;
  readonly isRead: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The time of one attempt, and how often a call that is safe to repeat is repeated. */
export interface TransportOptions {
  readonly timeoutMs: number;
  readonly maxRetries: number;
}

/** The service answers with less: what has more is something else, or does not mean well. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const PAUSE_MS = { first: 100, max: 5_000 };
/** A longer timer ends after a millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A longer wait is the caller's to decide. */
export const MAX_RETRY_AFTER_MS = 30_000;

/**
 * With these there was no connection yet on which something could be sent. No other error of TLS is here: whoever sits in between can make
 * some of them also afterwards, as that of a wrong version.
 */
const NOT_CONNECTED =
  /^(?:UND_ERR_CONNECT_TIMEOUT|CERT_\w+|\w*SELF_SIGNED_\w+|UNABLE_TO_\w+|ERR_TLS_CERT_\w+|ERR_SSL_.+_ALERT_(?:HANDSHAKE_FAILURE|PROTOCOL_VERSION))$/;

/** Sends a call, and repeats it where that is safe. @throws SecretVaultError, or the reason of the caller's signal */
export async function send(call: Call, options: TransportOptions): Promise<Answer> {
  for (let retries = 0; ; retries++) {
    try {
      return await attempt(call, options.timeoutMs);
    } catch (error: unknown) {
      const waitMs = mayPass(error) ? pauseMs(retries, error.details.retryAfterSeconds) : Infinity;
      if (retries >= options.maxRetries || waitMs > MAX_RETRY_AFTER_MS) throw error;
      await pause(waitMs, call.signal);
    }
  }
}

/** Returns how long to wait before the next attempt: what the service asked for, else longer each time, with a random part. */
export function pauseMs(retries: number, retryAfterSeconds?: number): number {
  const backOffMs = Math.min(PAUSE_MS.max, PAUSE_MS.first * 2 ** retries) * (0.5 + Math.random() / 2);
  return Math.max(backOffMs, (retryAfterSeconds ?? 0) * 1000);
}

/** Waits, for 24 days at most. @throws the reason of the signal when it aborts */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = () =>
    new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.min(ms, LONGEST_TIMER_MS))));
  await untilAborted(over, signal).finally(() => clearTimeout(timer));
}

/**
 * Waits for work that others may share and that goes on. None is begun for a signal that has aborted already: nobody would handle its failure.
 * @throws the reason of the signal when it aborts
 */
export async function untilAborted<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work();
  signal.throwIfAborted();
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  return Promise.race([work(), aborted]).finally(() => signal.removeEventListener('abort', abort));
}

async function attempt({ url, body, headers, isRead, signal }: Call, timeoutMs: number): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    ({ response, text } = await post(url, body, headers, timeoutMs, signal));
  } catch (error: unknown) {
    signal?.throwIfAborted();
    if (error instanceof SecretVaultError) throw error;
    // The error of fetch is not its cause: it may hold the address with its query, and more in later versions.
    if (isRead || isUnconnected(field(error, 'cause')))
      throw errorOf('UNREACHABLE', 'The service cannot be reached, or gave no answer in time.');
    throw new OutcomeUnknownError(
      'STORE_OUTCOME_UNKNOWN',
      'The connection ended before the write was answered; it may have happened.',
    );
  }
  return answerIn(response, text, isRead);
}

/** Returns whether no connection was made, so that nothing was sent: to none of the addresses, where there are `errors`. */
function isUnconnected(cause: unknown): boolean {
  const syscall = field(cause, 'syscall');
  const isOfAll = Array.isArray(field(cause, 'errors'));
  return (
    isOfAll ||
    syscall === 'connect' ||
    syscall === 'getaddrinfo' ||
    NOT_CONNECTED.test(String(field(cause, 'code')))
  );
}

/**
 * Posts a body as JSON. Its time limit is a timer that keeps the process alive and ends the wait by itself: a fetch whose connection is lost
 * at the wrong moment may never settle, and a process that waits for nothing else then ends with exit code 13.
 * @throws SecretVaultError where the answer is too large, what fetch throws, or an AbortError when the time is over or the signal aborts
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
  const timer = setTimeout(abort, Math.min(timeoutMs, LONGEST_TIMER_MS));
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
    return await untilAborted(exchange, controller.signal);
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
      throw errorOf('NOT_UNDERSTOOD', 'The answer is too large for one of the secret service.');
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** system-server's sentence about a provider whose answer was 400 or more. */
const CALLED_STATUS = /^invoke provider err: code (\d{3})\b/;
/** Its sentences about an access token that it knows no more, as after a restart. */
const TOKEN_FORGOTTEN = /^(?:token not found in cache or expired|data access denied)/;

/** Reads the envelope in each of the forms in which it arrives: documented, the predecessor's, wrapped by system-server. */
function answerIn(response: Response, text: string, isRead: boolean): Answer {
  const isOk = response.status === 200;
  let { status } = response;
  let envelope = parsed(text);
  const code = isOk ? field(envelope, 'code') : undefined;
  const wrapped = field(envelope, 'data');
  const message = String(field(envelope, 'message'));
  if (code === 100001 || (code === 1 && TOKEN_FORGOTTEN.test(message)))
    throw errorOf('UNAUTHENTICATED', 'system-server refused the access token.', { status });
  if (code === 1) {
    const called = CALLED_STATUS.exec(message)?.[1];
    if (called === undefined && message.startsWith('invoke provider err: '))
      throw errorOf(isRead ? 'UNREACHABLE' : 'STORE_OUTCOME_UNKNOWN', 'system-server had no answer.');
    status = Number(called ?? status);
    envelope = parsed(/{[^]*/.exec(message)?.[0] ?? '');
  } else if (code === 0 && field(wrapped, 'code') !== undefined) envelope = wrapped;
  const outcome = field(envelope, 'code');
  if (isOk && code !== 1 && (outcome === 200 || outcome === 0)) {
    const etag = response.headers.get('etag') ?? undefined;
    return { envelope, ...(etag !== undefined && { etag }) };
  }
  if (isOk && typeof outcome === 'number' && outcome >= 400) status = outcome;
  throw failureIn(response, envelope, status, isRead);
}

/** Whether a text may be sent in a header. */
export function isToken(text: unknown): text is string {
  return typeof text === 'string' && /^[\x21-\x7e]+$/.test(text);
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
