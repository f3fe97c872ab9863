import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock, MonotonicTime } from '../time/clock';
import { FairQueue } from '../concurrency/fair-queue';
import { SingleFlight } from '../concurrency/keyed-work';
import { fieldsOf, itemsOf, ownField } from '../json/json';
import { IdentityUnavailable, TooManyRequests } from '../errors/request-errors';
import { canonicalAddress, type ServiceAccountName } from '../authn/peer-verifier';
import type { IdentityDependency } from '../authn/identity-dependency';
import { ServiceAccountReviewer } from '../authn/caller';
import { type KubernetesApi, kubernetesFailureOf } from './kubernetes-api';

const MAX_TOKEN_LENGTH = 8192;
const JWT = /^[\w-]+\.([\w-]+)\.[\w-]+$/;

const VALID_MS = 60_000;
const MAX_REMEMBERED = 20_000;
const TIMEOUT_MS = 5_000;
/** The keys are addresses, so that a pod that floods with made-up tokens delays only itself, and ServiceAccounts. */
const QUEUE_BOUNDS = {
  maxRunning: 64,
  maxRunningPerKey: 8,
  maxWaiting: 64,
  maxWaitingPerKey: 16,
  maxWaitMs: 2_000,
};
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
/** A token of nobody: any review of it shows that the API server answers us. */
const PROBE_TOKEN = 'probe';
const USERNAME = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;

interface Accepted {
  readonly account: ServiceAccountName;
  /** Of the monotonic time: a clock that is set back must not extend it. */
  readonly validUntilMs: number;
}

/**
 * Reviews ServiceAccount tokens by a TokenReview with our own audience. An accepted token is remembered by its hash for a
 * minute, and never past its expiry; a refused one is not remembered, but one that itself names another audience is refused
 * without a review.
 */
export class TokenReviewer extends ServiceAccountReviewer {
  private readonly accepted = new LRUCache<string, Accepted>({ max: MAX_REMEMBERED });
  private readonly reviews = new SingleFlight<ServiceAccountName | undefined>();
  private readonly queue: FairQueue;

  constructor(
    private readonly api: KubernetesApi,
    private readonly audience: string,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    /** Records each answer and each failure. */
    private readonly dependency?: IdentityDependency,
  ) {
    super();
    this.queue = new FairQueue(QUEUE_BOUNDS, time, () => new TooManyRequests(1));
    dependency?.watch(async () => void (await this.send(PROBE_TOKEN)));
  }

  async review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined> {
    const claims = claimsOf(token);
    if (claims === undefined || !claims.audiences.includes(this.audience)) return undefined;
    // Checked each time, so that a remembered token ends with its expiry too.
    if (claims.expiresAtMs <= this.clock.nowMs()) return undefined;
    const key = createHash('sha256').update(token).digest('base64');
    const accepted = this.accepted.get(key);
    if (accepted !== undefined && this.time.nowMs() < accepted.validUntilMs) return accepted.account;
    return this.reviews.run(key, () =>
      this.queue.run(queueKeyOf(accepted, peerAddress), () => this.reviewNow(key, token)),
    );
  }

  private async reviewNow(key: string, token: string): Promise<ServiceAccountName | undefined> {
    const validUntilMs = this.time.nowMs() + VALID_MS;
    const account = accountOf(await this.send(token), this.audience);
    if (account === undefined) this.accepted.delete(key);
    else this.accepted.set(key, { account, validUntilMs });
    return account;
  }

  private async send(token: string): Promise<unknown> {
    const spec = { token, audiences: [this.audience] };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
    try {
      const call = { method: 'POST', path: TOKEN_REVIEWS, body, timeoutMs: TIMEOUT_MS } as const;
      const answer = await this.api.send(call);
      this.dependency?.answered();
      return answer;
    } catch (error: unknown) {
      // Also where the server refuses our own token: the caller did nothing wrong.
      this.dependency?.failed(kubernetesFailureOf(error).message);
      throw new IdentityUnavailable('The Kubernetes API server');
    }
  }
}

/**
 * Returns the key under which a review waits. A token that was accepted before waits with those of its ServiceAccount, so
 * that a flood from a shared address, as of a proxy, does not delay it: nobody else can have it.
 */
function queueKeyOf(accepted: Accepted | undefined, peerAddress: string | undefined): string {
  if (accepted === undefined) return `address ${canonicalAddress(peerAddress ?? '') ?? ''}`;
  return `account ${accepted.account.namespace}:${accepted.account.name}`;
}

/** Returns the ServiceAccount of an authenticated token. A server without support for audiences does not name ours, and has not checked it. */
function accountOf(answer: unknown, audience: string): ServiceAccountName | undefined {
  const { authenticated, audiences, user } = fieldsOf(ownField(answer, 'status'));
  if (authenticated !== true || !itemsOf(audiences).includes(audience)) return undefined;
  const username = ownField(user, 'username');
  const [, namespace, name] = (typeof username === 'string' ? USERNAME.exec(username) : undefined) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/**
 * Returns the unverified claims of a ServiceAccount token: enough to refuse it, never to accept it. Undefined where it is no JWT
 * with an audience and an expiry, which every pod's token has.
 */
function claimsOf(
  token: string,
): { readonly audiences: readonly unknown[]; readonly expiresAtMs: number } | undefined {
  const payload = token.length > MAX_TOKEN_LENGTH ? undefined : JWT.exec(token)?.[1];
  if (payload === undefined) return undefined;
  try {
    const { aud, exp } = fieldsOf(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
    const audiences = [aud].flat().filter((audience) => typeof audience === 'string');
    if (audiences.length === 0 || typeof exp !== 'number') return undefined;
    return { audiences, expiresAtMs: exp * 1000 };
  } catch {
    return undefined;
  }
}
