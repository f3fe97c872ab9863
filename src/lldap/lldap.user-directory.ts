import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { errorCodeOf } from '../errors/domain-error';
import type { IdentityDependency } from '../authn/identity-dependency';
import { UserDirectory, type VerifiedToken } from '../authn/tokens';
import { FairQueue } from '../concurrency/fair-queue';
import { SingleFlight } from '../concurrency/keyed-work';
import { TooManyRequests, IdentityUnavailable } from '../errors/request-errors';
import type { Clock, MonotonicTime } from '../time/clock';
import { fieldsOf, jsonIn } from '../json/json';

interface LldapOptions {
  /** Without a trailing slash, e.g. `http://lldap-service.os-platform:17170`. */
  readonly url: string;
  readonly timeoutMs: number;
}

/** An acceptance is remembered this long at most, so a log-out takes effect within a minute. */
const MAX_ACCEPTED_MS = 60_000;
/** A user who logs in all the time can push out the answers about others' tokens; LLDAP is then asked again. */
const MAX_REMEMBERED_TOKENS = 10_000;
/** Calls to LLDAP are queued fairly by user, so that one with many tokens does not delay the others. */
const QUEUE_BOUNDS = {
  maxRunning: 32,
  maxRunningPerKey: 4,
  maxWaiting: 64,
  maxWaitingPerKey: 16,
  maxWaitMs: 2_000,
};
const MAX_ANSWER_BYTES = 64 * 1024;

/** A proxy before LLDAP answers so, and not LLDAP: these say nothing about the token. */
const NOT_FROM_LLDAP = new Set([429, 502, 503, 504]);
/** Not a token: LLDAP's refusal of it shows that LLDAP is up. */
export const PROBE_TOKEN = 'probe';

/**
 * Asks LLDAP by `POST /auth/token/verify`. A 200 with a JSON object accepts the token, unless that says "invalid token"; this, 400
 * and 401 refuse it. These are remembered by the token's hash, an acceptance for a minute, a refusal for as long as the token lives.
 * Whatever else is answered says nothing about the token and lets nobody in: 503 for what a proxy says while LLDAP is away, a refusal
 * this once for the rest. Concurrent questions about one token are one call.
 */
export class LldapUserDirectory extends UserDirectory {
  private readonly refusedUntilMs = new LRUCache<string, number>({ max: MAX_REMEMBERED_TOKENS });
  /** When LLDAP accepted a token, by monotonic time: a clock that is set back must not prolong it. */
  private readonly acceptedAtMs = new LRUCache<string, number>({ max: MAX_REMEMBERED_TOKENS });
  private readonly calls = new SingleFlight<boolean>();
  private readonly queue: FairQueue;

  constructor(
    private readonly options: LldapOptions,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly dependency?: IdentityDependency,
  ) {
    super();
    this.queue = new FairQueue(QUEUE_BOUNDS, time, () => new TooManyRequests(1));
    dependency?.watch(async () => void (await this.verify(PROBE_TOKEN)));
  }

  async accepts(verified: VerifiedToken): Promise<boolean> {
    const key = createHash('sha256').update(verified.token).digest('base64');
    if (this.clock.nowMs() < (this.refusedUntilMs.get(key) ?? 0)) return false;
    if (this.time.nowMs() - (this.acceptedAtMs.get(key) ?? -Infinity) < MAX_ACCEPTED_MS) return true;
    return this.calls.run(key, () => this.queue.run(verified.user, () => this.ask(key, verified)));
  }

  private async ask(key: string, { token, expiresAtMs }: VerifiedToken): Promise<boolean> {
    const askedAtMs = this.time.nowMs();
    const { accepted, isFinal } = await this.verify(token);
    if (accepted) this.acceptedAtMs.set(key, askedAtMs);
    else if (isFinal) this.refusedUntilMs.set(key, expiresAtMs);
    return accepted;
  }

  /** @throws IdentityUnavailable (503) */
  private async verify(token: string): Promise<Verdict> {
    try {
      const verdict = await verifyAtLldap(this.options, token);
      if (verdict.unlikeLldap === undefined) this.dependency?.answered();
      else this.dependency?.failed(verdict.unlikeLldap);
      return verdict;
    } catch (error: unknown) {
      // An error of fetch may quote the request, so only its code is passed on.
      this.dependency?.failed(lldapFailureOf(error));
      throw new IdentityUnavailable();
    }
  }
}

interface Verdict {
  readonly accepted: boolean;
  /** Whether LLDAP refused this token, and not whatever it was asked in that moment. */
  readonly isFinal?: boolean;
  /** Why the answer is none that LLDAP gives about a token, for the operator; the token is refused all the same. */
  readonly unlikeLldap?: string;
  /** What LLDAP's own clock said, in milliseconds since the epoch, to the second. */
  readonly dateMs?: number;
}

class NotFromLldap extends Error {}

/** Asks LLDAP once. @throws an error of fetch, which may quote the request: `lldapFailureOf` makes a word of it */
export async function verifyAtLldap({ url, timeoutMs }: LldapOptions, token: string): Promise<Verdict> {
  const answer = await fetch(`${url}/auth/token/verify`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ access_token: token }),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (NOT_FROM_LLDAP.has(answer.status)) throw new NotFromLldap(`status ${answer.status}`);
  const text = await textOf(answer);
  const dateMs = Date.parse(answer.headers.get('date') ?? '');
  return { ...verdictOf(answer.status, text), ...(dateMs > 0 && { dateMs }) };
}

/** Returns the body; undefined where it is longer than any of LLDAP's, and then the rest is not received. */
async function textOf({ body }: Response): Promise<string | undefined> {
  const parts: AsyncIterable<Uint8Array> | readonly Uint8Array[] = body ?? [];
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of parts) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function verdictOf(status: number, text: string | undefined): Verdict {
  if (status === 400 || status === 401) return { accepted: false, isFinal: true };
  if (status !== 200) return { accepted: false, unlikeLldap: `status ${status}` };
  if (text === undefined) return { accepted: false, unlikeLldap: 'too long' };
  const body = jsonIn(text);
  if (body === undefined) return { accepted: false, unlikeLldap: 'no JSON' };
  if (typeof body !== 'object' || body === null) return { accepted: false, unlikeLldap: 'no object' };
  const isInvalid = fieldsOf(body)['status'] === 'invalid token';
  return { accepted: !isInvalid, isFinal: isInvalid };
}

/** Returns a word that is safe to log; the texts of fetch's errors contain the address and the request. */
export function lldapFailureOf(error: unknown): string {
  if (error instanceof NotFromLldap) return error.message;
  const { name, cause } = fieldsOf(error);
  return name === 'TimeoutError' ? 'Timeout' : (errorCodeOf(cause) ?? 'Failed');
}
