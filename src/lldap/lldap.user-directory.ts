import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock, MonotonicTime } from '../time/clock';
import { FairQueue } from '../concurrency/fair-queue';
import { IdentityUnavailable } from '../errors/authn-errors';
import { TooManyRequests } from '../errors/request-errors';
import type { IdentityDependency } from '../authn/identity-dependency';
import { UserDirectory, type VerifiedToken } from '../authn/user-token.verifier';

export interface LldapOptions {
  /** Without a trailing slash, e.g. `http://lldap-service.os-platform:17170`. */
  readonly url: string;
  readonly timeoutMs: number;
}

interface TokenVerdict {
  readonly accepted: boolean;
  readonly untilMs: number;
}

/** An acceptance is believed this long at most, so a log-out takes effect within a minute. */
const MAX_ACCEPTED_MS = 60_000;
/** A user who logs in without end can push out what is known of others' tokens: those are then asked for, in turn. */
const MAX_REMEMBERED_TOKENS = 10_000;
/** Calls to LLDAP, by user: whoever has many tokens, or logs in without end, leaves turns to the others. */
const TURNS = { maxRunning: 32, maxRunningPerKey: 4, maxWaiting: 64, maxWaitingPerKey: 16, maxWaitMs: 2_000 };
const MAX_ANSWER_BYTES = 64 * 1024;

/** Answers of something between us and LLDAP, not of LLDAP: they say nothing about the token. */
const NOT_FROM_LLDAP = new Set([429, 502, 503, 504]);
/** No token of ours: any answer to it shows that LLDAP is there. */
const PROBE_TOKEN = 'probe';
const WORD = /^[A-Z0-9_]{1,64}$/;

/**
 * Asks LLDAP: `POST /auth/token/verify`. A 200 that does not say "invalid token" accepts; anything else that LLDAP
 * says is a refusal and final for that token. Tokens are remembered by hash only, and asked for once at a time.
 */
export class LldapUserDirectory extends UserDirectory {
  private readonly answers = new LRUCache<string, TokenVerdict>({ max: MAX_REMEMBERED_TOKENS });
  private readonly underWay = new Map<string, Promise<boolean>>();
  private readonly turns: FairQueue;

  constructor(
    private readonly options: LldapOptions,
    private readonly clock: Clock,
    time: MonotonicTime,
    /** Told of each answer and each failure. */
    private readonly dependency?: IdentityDependency,
  ) {
    super();
    this.turns = new FairQueue(TURNS, time, () => new TooManyRequests(1));
    dependency?.watch(async () => void (await this.verify(PROBE_TOKEN)));
  }

  async accepts(verified: VerifiedToken): Promise<boolean> {
    const key = createHash('sha256').update(verified.token).digest('base64');
    const known = this.answers.get(key);
    if (known !== undefined && this.clock.nowMs() < known.untilMs) return known.accepted;
    const asked =
      this.underWay.get(key) ??
      this.turns.run(verified.user, () => this.ask(key, verified)).finally(() => this.underWay.delete(key));
    this.underWay.set(key, asked);
    return asked;
  }

  private async ask(key: string, { token, expiresAtMs }: VerifiedToken): Promise<boolean> {
    const accepted = await this.verify(token);
    const untilMs = accepted ? Math.min(expiresAtMs, this.clock.nowMs() + MAX_ACCEPTED_MS) : expiresAtMs;
    this.answers.set(key, { accepted, untilMs });
    return accepted;
  }

  /** @throws IdentityUnavailable (503) */
  private async verify(token: string): Promise<boolean> {
    try {
      const { accepted, unlikeLldap } = await verifyAtLldap(this.options, token);
      if (unlikeLldap === undefined) this.dependency?.answered();
      else this.dependency?.failed(unlikeLldap);
      return accepted;
    } catch (error: unknown) {
      // The failure of fetch may quote the request; nothing but a word of it leaves this place.
      this.dependency?.failed(wordOf(error));
      throw new IdentityUnavailable();
    }
  }
}

/** Where the answer came from, if not from LLDAP, is a matter for the operator: the token is refused all the same. */
interface Verdict {
  readonly accepted: boolean;
  readonly unlikeLldap?: string;
}

class NotFromLldap extends Error {}

async function verifyAtLldap({ url, timeoutMs }: LldapOptions, token: string): Promise<Verdict> {
  const answer = await fetch(`${url}/auth/token/verify`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ access_token: token }),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (NOT_FROM_LLDAP.has(answer.status)) throw new NotFromLldap(`status ${answer.status}`);
  const text = await answer.text();
  if (answer.status === 404) return { accepted: false, unlikeLldap: 'status 404' };
  if (answer.status !== 200 || text.length > MAX_ANSWER_BYTES) return { accepted: false };
  return verdictOf(text);
}

function verdictOf(text: string): Verdict {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return { accepted: false, unlikeLldap: 'no object' };
    return { accepted: !('status' in body && body.status === 'invalid token') };
  } catch {
    return { accepted: false, unlikeLldap: 'no JSON' };
  }
}

/** By their shapes: fetch's errors hold the address and the request in their texts. */
function wordOf(error: unknown): string {
  if (error instanceof NotFromLldap) return error.message;
  if (typeof error !== 'object' || error === null) return 'Failed';
  if ('name' in error && error.name === 'TimeoutError') return 'Timeout';
  const cause = 'cause' in error ? error.cause : undefined;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && WORD.test(code) ? code : 'Failed';
}
