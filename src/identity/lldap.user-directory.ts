import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock/clock';
import type { MonotonicTime } from '../clock/monotonic-time';
import { FairTurns } from '../concurrency/fair-turns';
import { IdentityUnavailable } from '../errors/identity-errors';
import { TooManyRequests } from '../errors/request-errors';
import { UserDirectory, type VerifiedToken } from './user-directory';

export interface LldapOptions {
  /** Without a trailing slash, e.g. `http://lldap.os-platform:17170`. */
  readonly url: string;
  readonly timeoutMs: number;
}

interface Answer {
  readonly accepted: boolean;
  readonly untilMs: number;
}

/** An acceptance is believed this long at most, so a log-out takes effect within a minute. */
const MAX_ACCEPTED_MS = 60_000;
/** A user who logs in without end can push out what is known of others' tokens: those are then asked for, in turn. */
const MAX_REMEMBERED_TOKENS = 10_000;
/** Calls to LLDAP, by user: whoever has many tokens, or logs in without end, leaves turns to the others. */
const TURNS = { maxUnderWay: 32, maxUnderWayOfOne: 4, maxWaiting: 64, maxWaitingOfOne: 16, maxWaitMs: 2_000 };
const MAX_ANSWER_BYTES = 64 * 1024;

/** Answers of something between us and LLDAP, not of LLDAP: they say nothing about the token. */
const NOT_FROM_LLDAP = new Set([429, 502, 503, 504]);

/**
 * Asks LLDAP: `POST /auth/token/verify`. A 200 that does not say "invalid token" accepts; anything else that LLDAP
 * says is a refusal and final for that token. Tokens are remembered by hash only, and asked for once at a time.
 */
export class LldapUserDirectory extends UserDirectory {
  private readonly answers = new LRUCache<string, Answer>({ max: MAX_REMEMBERED_TOKENS });
  private readonly underWay = new Map<string, Promise<boolean>>();
  private readonly turns: FairTurns;

  constructor(
    private readonly options: LldapOptions,
    private readonly clock: Clock,
    time: MonotonicTime,
  ) {
    super();
    this.turns = new FairTurns(TURNS, time, () => new TooManyRequests(1));
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
    const accepted = await verifyAtLldap(this.options, token);
    const untilMs = accepted ? Math.min(expiresAtMs, this.clock.nowMs() + MAX_ACCEPTED_MS) : expiresAtMs;
    this.answers.set(key, { accepted, untilMs });
    return accepted;
  }
}

async function verifyAtLldap({ url, timeoutMs }: LldapOptions, token: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/auth/token/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ access_token: token }),
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (NOT_FROM_LLDAP.has(answer.status)) throw new IdentityUnavailable();
    const text = await answer.text();
    return answer.status === 200 && text.length <= MAX_ANSWER_BYTES && !saysInvalid(text);
  } catch {
    // The failure of fetch may quote the request; nothing of it leaves this place.
    throw new IdentityUnavailable();
  }
}

function saysInvalid(text: string): boolean {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body !== 'object' || body === null || ('status' in body && body.status === 'invalid token');
  } catch {
    return true;
  }
}
