import type { KubernetesFailure } from './kubernetes-failure';
import type { CollectionSurroundings } from './watched-collection-options';

/** A failure that goes on is said again after so long. */
const SAY_AGAIN_MS = 300_000;
/** One watch that is refused may be chance. */
const LASTING = 2;

/** What goes wrong with one collection, until the next proof, and what the log heard of it. */
export class WatchTrouble {
  private latest: KubernetesFailure | undefined;
  private refused: KubernetesFailure | undefined;
  private refusals = 0;
  private said: { readonly what: string; readonly atMs: number } | undefined;

  constructor(
    private readonly path: string,
    private readonly around: Pick<CollectionSurroundings, 'time' | 'log'>,
  ) {}

  /** The latest failure since the last proof, in a few words. */
  get message(): string | undefined {
    return this.latest?.message;
  }

  /** Why watches are refused again and again; a list between them changes nothing of it. */
  get refusal(): string | undefined {
    return this.refusals >= LASTING ? this.refused?.message : undefined;
  }

  /** @param refused whether the server answered a watch with a refusal, before it could have told anything */
  failed(failure: KubernetesFailure, refused: boolean, waitMs: number): void {
    this.latest = failure;
    if (refused) {
      this.refused = failure;
      this.refusals += 1;
    }
    this.say(failure, waitMs);
  }

  /** A list alone proves nothing of the watches, which may fail one by one. */
  listed(): void {
    this.latest = this.refusals >= LASTING ? this.refused : undefined;
  }

  /** By a watch. */
  over(): void {
    this.latest = undefined;
    this.refusals = 0;
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
