import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock, MonotonicTime } from '../time/clock';
import { FairQueue } from '../concurrency/fair-queue';
import { IdentityUnavailable } from '../errors/authn-errors';
import { TooManyRequests } from '../errors/request-errors';
import { canonicalAddress, type ServiceAccountName } from '../authn/peer-verifier';
import type { IdentityDependency } from '../authn/identity-dependency';
import { ServiceAccountReviewer } from '../authn/service-account.authenticator';
import { type KubernetesApi, kubernetesFailureOf } from './kubernetes-api';

/** What a ServiceAccount token says of itself: enough to refuse it, never to accept it. */
interface TokenClaims {
  readonly audiences: readonly string[];
  readonly expiresAtMs: number;
}

const MAX_TOKEN_LENGTH = 8192;
const JWT = /^[\w-]+\.([\w-]+)\.[\w-]+$/;

/** Undefined for anything that is no JWT with an audience and an end: no pod's own token lacks them. */
function claimsOf(token: string): TokenClaims | undefined {
  const payload = token.length > MAX_TOKEN_LENGTH ? undefined : JWT.exec(token)?.[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null) return undefined;
    const { aud, exp } = claims as { readonly aud?: unknown; readonly exp?: unknown };
    const audiences = (Array.isArray(aud) ? (aud as readonly unknown[]) : [aud]).filter(
      (audience) => typeof audience === 'string',
    );
    if (audiences.length === 0 || typeof exp !== 'number') return undefined;
    return { audiences, expiresAtMs: exp * 1000 };
  } catch {
    return undefined;
  }
}

interface Accepted {
  readonly account: ServiceAccountName;
  /** Monotonic: a clock that is set back must not lengthen it. */
  readonly believedUntilMs: number;
}

const BELIEVED_MS = 60_000;
const MAX_REMEMBERED = 20_000;
const TIMEOUT_MS = 5_000;
/** Of one address, so that a pod that floods with made-up tokens floods only itself; and of one ServiceAccount. */
const TURNS = { maxRunning: 64, maxRunningPerKey: 8, maxWaiting: 64, maxWaitingPerKey: 16, maxWaitMs: 2_000 };
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
/** Nobody's token: any review of it shows that we may ask and are answered. */
const PROBE_TOKEN = 'probe';
const USERNAME = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;

/**
 * TokenReview with our own audience. An acceptance is remembered by the token's hash until its end, a minute at most;
 * a token that is nobody's is not remembered, but one that itself says it is not for us is refused without asking.
 */
export class TokenReviewer extends ServiceAccountReviewer {
  private readonly accepted = new LRUCache<string, Accepted>({ max: MAX_REMEMBERED });
  private readonly underWay = new Map<string, Promise<ServiceAccountName | undefined>>();
  private readonly turns: FairQueue;

  constructor(
    private readonly api: KubernetesApi,
    private readonly audience: string,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    /** Told of each answer and each failure. */
    private readonly dependency?: IdentityDependency,
  ) {
    super();
    this.turns = new FairQueue(TURNS, time, () => new TooManyRequests(1));
    dependency?.watch(async () => void (await this.send(PROBE_TOKEN)));
  }

  async review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined> {
    const claims = claimsOf(token);
    if (claims === undefined || !claims.audiences.includes(this.audience)) return undefined;
    // Asked each time, so that what is remembered ends with its token too.
    if (claims.expiresAtMs <= this.clock.nowMs()) return undefined;
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.accepted.get(key);
    if (known !== undefined && this.time.nowMs() < known.believedUntilMs) return known.account;
    const running = this.underWay.get(key);
    if (running !== undefined) return running;
    const asked = this.turns
      .run(lineOf(known, peerAddress), () => this.ask(key, token))
      .finally(() => this.underWay.delete(key));
    this.underWay.set(key, asked);
    return asked;
  }

  private async ask(key: string, token: string): Promise<ServiceAccountName | undefined> {
    const believedUntilMs = this.time.nowMs() + BELIEVED_MS;
    const account = accountOf(await this.send(token), this.audience);
    if (account === undefined) this.accepted.delete(key);
    else this.accepted.set(key, { account, believedUntilMs });
    return account;
  }

  private async send(token: string): Promise<unknown> {
    const spec = { token, audiences: [this.audience] };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
    try {
      const answer = await this.api.send({
        method: 'POST',
        path: TOKEN_REVIEWS,
        body,
        timeoutMs: TIMEOUT_MS,
      });
      this.dependency?.answered();
      return answer;
    } catch (error: unknown) {
      // Also where we ourselves were refused: the caller did nothing wrong.
      this.dependency?.failed(kubernetesFailureOf(error).message);
      throw new IdentityUnavailable('The Kubernetes API server');
    }
  }
}

/**
 * Whose turn a review takes. A token that was good before waits with those of its ServiceAccount: nobody else can have it,
 * so that a flood from an address that many share, as of a proxy, does not keep them out.
 */
function lineOf(known: Accepted | undefined, peerAddress: string | undefined): string {
  if (known === undefined) return `address ${canonicalAddress(peerAddress ?? '') ?? ''}`;
  return `account ${known.account.namespace}:${known.account.name}`;
}

/** A server that knows no audiences does not name ours, and has then checked nothing that concerns us. */
function accountOf(answer: unknown, audience: string): ServiceAccountName | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { status } = answer as {
    readonly status?: {
      readonly authenticated?: unknown;
      readonly audiences?: unknown;
      readonly user?: { readonly username?: unknown } | null;
    } | null;
  };
  if (status?.authenticated !== true) return undefined;
  if (!Array.isArray(status.audiences) || !status.audiences.includes(audience)) return undefined;
  const username = status.user?.username;
  const [, namespace, name] = (typeof username === 'string' ? USERNAME.exec(username) : undefined) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}
