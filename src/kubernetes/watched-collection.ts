import { BackOff } from './back-off';
import { CollectionLister } from './collection-lister';
import { keyOf, readEvent } from './kube-object';
import { failureOf, KubernetesFailure } from './kubernetes-failure';
import { WatchTrouble } from './watch-trouble';
import type {
  CollectionSurroundings,
  Held,
  ObservedWatch,
  WatchedCollectionOptions,
} from './watched-collection-options';

/** A watch is asked to end after this long: its orderly end is the proof that nothing was missed. */
const WATCH_MS = 30_000;
/** One that did not end by then is half-open, and whatever it should have told comes with the next one. */
const GRACE_MS = 5_000;
/** A server that ends watches sooner than this has no reason to be asked again at once. */
const SHORT_WATCH_MS = 5_000;
/** Without a proof for so long, whatever the watches say, everything is asked for again. */
const RELIST_AFTER_MS = 120_000;
const BACK_OFF = { firstMs: 1_000, mostMs: 15_000 };

/**
 * Mirrors one collection of the API server: a full list, then watches that resume where the last one ended. The mirror
 * is never emptied while the server is away; a new list replaces it in one step, so that no deletion is missed.
 * docs/decisions/0004-kubernetes-watch.md says why the client library's informer does not serve.
 */
export class WatchedCollection<T> implements ObservedWatch {
  private held = new Map<string, Held<T>>();
  private version: string | undefined;
  private provenAtMs: number | undefined;
  private running: Promise<void> | undefined;
  private listTookMs = 0;
  private readonly stopping = new AbortController();
  private readonly backOff: BackOff;
  private readonly lister: CollectionLister<T>;
  private readonly troubles: WatchTrouble;
  private settleFirst: () => void = () => undefined;
  /** Resolves with the first full list, or with the first failure if that comes first. */
  readonly firstOutcome = new Promise<void>((resolve) => (this.settleFirst = resolve));

  constructor(
    private readonly options: WatchedCollectionOptions<T>,
    private readonly around: CollectionSurroundings,
  ) {
    this.backOff = new BackOff({ ...BACK_OFF, random: around.random ?? Math.random });
    this.lister = new CollectionLister(options, around.api);
    this.troubles = new WatchTrouble(options.path, around);
  }

  start(): void {
    this.around.watches?.watchBegins(this);
    this.running ??= this.run();
  }

  /** Resolves when no request is under way any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.around.watches?.watchEnds(this);
    await this.running;
    this.settleFirst();
  }

  /** Whether there was a full list; before, a missing key means nothing. */
  get listed(): boolean {
    return this.provenAtMs !== undefined;
  }

  get path(): string {
    return this.options.path;
  }

  get up(): boolean {
    return this.listed && this.trouble === undefined;
  }

  get size(): number {
    return this.held.size;
  }

  get(key: string): T | undefined {
    return this.held.get(key)?.value;
  }

  /** The latest failure since the last proof, in a few words. */
  get trouble(): string | undefined {
    return this.troubles.message;
  }

  get refusal(): string | undefined {
    return this.troubles.refusal;
  }

  /** Since the server last proved that we know all: a list, an event, a bookmark, a watch that ended in order. */
  ageMs(): number {
    return this.provenAtMs === undefined ? Infinity : this.around.time.nowMs() - this.provenAtMs;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const waitMs = await this.turn(signal);
      if (waitMs > 0) await this.around.time.pause(waitMs, signal);
    }
  }

  /** One list or watch; the answer is how long to wait before the next. */
  private async turn(signal: AbortSignal): Promise<number> {
    let watchingSinceMs: number | undefined;
    try {
      if (this.mustList()) await this.list(signal);
      watchingSinceMs = this.around.time.nowMs();
      return await this.watch(this.version ?? '', signal);
    } catch (error: unknown) {
      if (signal.aborted) return 0;
      const failure = failureOf(error);
      // A line that nobody could read may have been a revocation: as with Gone, only a list tells.
      if (failure.gone || failure.reason === 'MalformedAnswer') this.version = undefined;
      const lastedMs = this.around.time.nowMs() - (watchingSinceMs ?? -Infinity);
      // Where each refused watch means another list, lists take half of the time at most.
      const waitMs = Math.max(this.backOff.nextMs(failure.retryAfterMs), this.listTookMs);
      const refused = failure.status !== undefined && lastedMs < SHORT_WATCH_MS;
      this.troubles.failed(failure, refused, waitMs);
      return waitMs;
    } finally {
      this.settleFirst();
    }
  }

  /** Also before each further attempt where watches are refused: lists are then all that tells of a revocation. */
  private mustList(): boolean {
    return this.version === undefined || this.ageMs() > RELIST_AFTER_MS || this.refusal !== undefined;
  }

  private async list(signal: AbortSignal): Promise<void> {
    const startedMs = this.around.time.nowMs();
    const { objects, version } = await this.lister.list(this.held, signal);
    const before = this.held;
    this.held = objects;
    for (const key of before.keys()) if (!objects.has(key)) this.options.onRemoved?.(key);
    for (const [key, now] of objects) if (before.get(key) !== now) this.options.onPut?.(key, now.value);
    this.version = version;
    this.provenAtMs = this.around.time.nowMs();
    this.listTookMs = this.provenAtMs - startedMs;
    this.troubles.listed();
    this.options.onListed?.();
    this.settleFirst();
  }

  private async watch(version: string, signal: AbortSignal): Promise<number> {
    const startedMs = this.around.time.nowMs();
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: version,
      timeoutSeconds: String(WATCH_MS / 1000),
      ...this.lister.selection,
    };
    const call = {
      method: 'GET',
      path: this.options.path,
      query,
      timeoutMs: WATCH_MS + GRACE_MS,
      signal,
    } as const;
    await this.around.api.watch(call, (line) => this.apply(line));
    const lastedMs = this.around.time.nowMs() - startedMs;
    if (lastedMs < SHORT_WATCH_MS) return this.backOff.nextMs();
    this.proven();
    return 0;
  }

  private apply(line: unknown): void {
    if (this.stopping.signal.aborted) throw new KubernetesFailure('Stopped');
    const event = readEvent(line);
    if (event.type === 'bookmark') {
      this.version = event.version;
      return this.proven();
    }
    const { object } = event;
    const key = keyOf(object.namespace, object.name);
    this.version = object.version;
    if (event.type === 'put') {
      const value = this.options.read(object);
      this.held.set(key, { version: object.version, uid: object.uid, value });
      this.options.onPut?.(key, value);
    } else if (this.held.delete(key)) {
      this.options.onRemoved?.(key);
    }
    this.proven();
  }

  /** By a watch. */
  private proven(): void {
    this.provenAtMs = this.around.time.nowMs();
    this.backOff.reset();
    this.troubles.over();
  }
}
