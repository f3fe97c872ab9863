import type { KubernetesFailure } from './kubernetes-failure';
import type { CollectionSurroundings, LastingTrouble } from './watched-collection-options';

/** A failure that goes on is said again after so long. */
const SAY_AGAIN_MS = 300_000;
/** One that fails may be chance. */
const LASTING = 2;

/** What goes wrong with one collection, until the next proof, and what the log heard of it. */
export class WatchTrouble {
  private latest: KubernetesFailure | undefined;
  private refused: KubernetesFailure | undefined;
  private refusals = 0;
  private failedLists = 0;
  private said: { readonly what: string; readonly atMs: number } | undefined;

  constructor(
    private readonly path: string,
    private readonly around: Pick<CollectionSurroundings, 'time' | 'log'>,
  ) {}

  /** The latest failure since the last proof, in a few words. */
  get message(): string | undefined {
    return this.latest?.message;
  }

  /** A list between refused watches changes nothing of that. */
  get lasting(): LastingTrouble | undefined {
    if (this.failedLists >= LASTING && this.latest !== undefined) return { of: 'list', failure: this.latest };
    if (this.refusals >= LASTING && this.refused !== undefined) return { of: 'watch', failure: this.refused };
    return undefined;
  }

  /** @param what `refused watch`: the server answered one with a refusal, before it could have told anything */
  failed(failure: KubernetesFailure, what: 'list' | 'refused watch' | 'watch', waitMs: number): void {
    this.latest = failure;
    if (what === 'list') this.failedLists += 1;
    if (what === 'refused watch') {
      this.refused = failure;
      this.refusals += 1;
    }
    this.say(failure, waitMs);
  }

  /** A list alone proves nothing of the watches, which may fail one by one. */
  listed(): void {
    this.failedLists = 0;
    this.latest = this.refusals >= LASTING ? this.refused : undefined;
  }

  /** By a watch. */
  over(): void {
    this.latest = undefined;
    this.refusals = 0;
    this.failedLists = 0;
    if (this.said === undefined) return;
    this.said = undefined;
    this.around.log('info', 'kubernetes_watch_recovered', { path: this.path });
  }

  /** Each failure once, and again when it goes on: an outage of a night is no million lines. */
  private say({ message, reason, status }: KubernetesFailure, waitMs: number): void {
    const atMs = this.around.time.nowMs();
    if (this.said?.what === message && atMs - this.said.atMs < SAY_AGAIN_MS) return;
    this.said = { what: message, atMs };
    const { path } = this;
    this.around.log('warn', 'kubernetes_watch_failed', { path, reason, status, waitMs: Math.round(waitMs) });
  }
}
