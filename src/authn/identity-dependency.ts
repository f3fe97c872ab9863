import type { LogEvent } from '../logging/log';
import type { MonotonicTime } from '../time/clock';

/** The services that verify callers: LLDAP for user tokens, the API server's TokenReview for ServiceAccount tokens. */
export type IdentityDependencyName = 'lldap' | 'token_review';

export interface IdentityDependencyObserver {
  /** Called with the first answer or failure, and at each change. */
  dependencyIs(name: IdentityDependencyName, isUp: boolean): void;
}

/** A dependency is up again when it answers and has not failed for this long, so that a flapping one does not fill the log. */
const QUIET_MS = 5_000;
const PROBE_EVERY_MS = 6_000;

const SENTENCE_OF = {
  lldap: (reason) =>
    `LLDAP does not answer (${reason}): calls with a user token are refused. LLDAP_URL says where it is asked.`,
  token_review: (reason) =>
    `The Kubernetes API server reviews no tokens (${reason}): pods that prove themselves by a ServiceAccount token are refused with 503.`,
} as const satisfies Record<IdentityDependencyName, (reason: string) => string>;

/** Tracks whether a service that verifies callers answers, and logs each change once; it is probed while it does not, so that its return is noticed. */
export class IdentityDependency {
  private state: 'unknown' | 'up' | 'down' = 'unknown';
  private reason = '';
  private failedAtMs = -Infinity;
  private probe: (() => Promise<void>) | undefined;
  private cancelProbe: () => void = () => undefined;

  constructor(
    private readonly name: IdentityDependencyName,
    private readonly deps: {
      readonly time: MonotonicTime;
      readonly log: LogEvent;
      readonly observer?: IdentityDependencyObserver | undefined;
    },
  ) {}

  /** @param probe asks once and reports by `answered` or `failed`; it is run at once, and again while the dependency is down */
  watch(probe: () => Promise<void>): void {
    this.probe = probe;
    this.runProbe();
  }

  answered(): void {
    if (this.state === 'up') return;
    if (this.state === 'down') {
      if (this.deps.time.nowMs() - this.failedAtMs < QUIET_MS) return;
      this.deps.log('info', 'dependency_recovered', { dependency: this.name });
    }
    this.cancelProbe();
    this.become('up');
  }

  /** @param reason an error code or a status, never a foreign text */
  failed(reason: string): void {
    this.failedAtMs = this.deps.time.nowMs();
    this.reason = reason;
    if (this.state === 'down') return;
    this.deps.log('warn', 'dependency_lost', { dependency: this.name, reason });
    this.become('down');
    this.probeLater();
  }

  /** Returns the problem that an operator should fix, as one sentence, or nothing. */
  sentences(): readonly string[] {
    return this.state === 'down' ? [SENTENCE_OF[this.name](this.reason)] : [];
  }

  close(): void {
    this.probe = undefined;
    this.cancelProbe();
  }

  private become(state: 'up' | 'down'): void {
    this.state = state;
    this.deps.observer?.dependencyIs(this.name, state === 'up');
  }

  private probeLater(): void {
    this.cancelProbe();
    this.cancelProbe = this.deps.time.after(PROBE_EVERY_MS, () => this.runProbe());
  }

  private runProbe(): void {
    void this.probe?.()
      .catch(() => undefined)
      .finally(() => {
        if (this.state === 'down' && this.probe !== undefined) this.probeLater();
      });
  }
}
