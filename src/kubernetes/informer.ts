import { AgeAlarm, SyncErrors } from './sync-errors';
import { BackOff } from '../concurrency/back-off';
import { ObjectLister } from './object-lister';
import { isOlder, objectKeyOf, readEvent } from './kube-object';
import { kubernetesFailureOf, KubernetesFailure } from './kubernetes-api';
import type { InformerDeps, LastingSyncError, ObservedWatch, InformerOptions } from './informer-options';

/** A watch is asked to end after this long. */
const WATCH_MS = 30_000;
/** One that did not end by then is half-open. */
const GRACE_MS = 5_000;
/** One that ends in order, but sooner by more than this, was ended by a server that had a reason. */
const EARLY_MS = 1_000;
/** A server that ends watches sooner than this has no reason to be asked again at once. */
const SHORT_WATCH_MS = 5_000;
/** No word of a watch for so long: it may wait for a revision that the server will never have. */
const CONFIRM_WITHIN_MS = 120_000;
/** However much the watches tell, everything is asked for again. */
const RELIST_AFTER_MS = 600_000;
const DEFAULT_MAX_AGE_MS = 600_000;
const BACK_OFF = { firstMs: 1_000, maxMs: 15_000 };
/** Where nobody answers, or only with a failure of the server's own, which ends without our doing: its end must not be missed. */
const MOST_MS_OF_OUTAGE = 3_000;

/**
 * Mirrors one collection of the API server: a full list, then watches that resume where the last one ended in order. What
 * comes after anything else is another list, since the server may have gone back to a backup meanwhile, and resumes a version
 * of another history in silence. The mirror is never emptied while the server is away; a new list replaces it in one step,
 * so that no deletion is missed.
 * docs/decisions/0004-kubernetes-watch.md says why the client library's informer does not serve.
 */
export class Informer<T> implements ObservedWatch {
  private held = new Map<string, T>();
  private version: string | undefined;
  private syncedAtMs: number | undefined;
  private listedAtMs = -Infinity;
  /** Whether the next watch may go on from `version`. */
  private resumable = false;
  private running: Promise<void> | undefined;
  private listTookMs = 0;
  private answered = true;
  private readonly confirmWithinMs: number;
  private readonly ageAlarm: AgeAlarm;
  private readonly stopping = new AbortController();
  private readonly backOff: BackOff;
  private readonly lister: ObjectLister<T>;
  private readonly syncErrors: SyncErrors;
  private settleFirst: () => void = () => undefined;
  /** Resolves with the first full list, or with the first failure if that comes first. */
  readonly firstOutcome = new Promise<void>((resolve) => (this.settleFirst = resolve));

  constructor(
    private readonly options: InformerOptions<T>,
    private readonly deps: InformerDeps,
  ) {
    const { maxAgeMs = DEFAULT_MAX_AGE_MS, time } = deps;
    this.confirmWithinMs = Math.min(CONFIRM_WITHIN_MS, maxAgeMs / 2);
    const tell = options.onOutdated ?? ((isOutdated) => this.logOutdated(isOutdated));
    this.ageAlarm = new AgeAlarm(maxAgeMs, time, () => this.ageMs(), tell);
    this.backOff = new BackOff({ ...BACK_OFF, random: deps.random ?? Math.random });
    this.lister = new ObjectLister(options, deps.api);
    this.syncErrors = new SyncErrors(options.path, deps);
  }

  start(): void {
    this.deps.watches?.watchBegins(this);
    this.running ??= this.run();
  }

  /** Resolves when no request is under way any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.ageAlarm.stop();
    this.deps.watches?.watchEnds(this);
    await this.running;
    this.settleFirst();
  }

  /** Whether there was a full list; before, a missing key means nothing. */
  get listed(): boolean {
    return this.syncedAtMs !== undefined;
  }

  get path(): string {
    return this.options.path;
  }

  get up(): boolean {
    return this.listed && this.syncError === undefined;
  }

  get size(): number {
    return this.held.size;
  }

  get(key: string): T | undefined {
    return this.held.get(key);
  }

  /** The latest failure since the last proof, in a few words. */
  get syncError(): string | undefined {
    return this.syncErrors.message;
  }

  get lasting(): LastingSyncError | undefined {
    return this.syncErrors.lasting;
  }

  /** Since the server last proved that we know all: the beginning of a list, an event, a bookmark. That a watch stayed silent proves nothing. */
  ageMs(): number {
    return this.syncedAtMs === undefined ? Infinity : this.deps.time.nowMs() - this.syncedAtMs;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const waitMs = await this.turn(signal);
      if (waitMs > 0) await this.deps.time.pause(waitMs, signal);
    }
  }

  /** A watch, and a list before it where that must be; the answer is how long to wait before the next. */
  private async turn(signal: AbortSignal): Promise<number> {
    const { time } = this.deps;
    const lists = this.mustList();
    let watchingSinceMs: number | undefined;
    try {
      if (lists) await this.list(signal);
      this.resumable = false;
      watchingSinceMs = time.nowMs();
      return await this.watch(this.version ?? '', signal);
    } catch (error: unknown) {
      if (signal.aborted) return 0;
      const failure = kubernetesFailureOf(error);
      const lastedMs = watchingSinceMs === undefined ? 0 : time.nowMs() - watchingSinceMs;
      // What is known is outdated, and the server there to be asked.
      if (failure.gone && (!lists || lastedMs >= SHORT_WATCH_MS)) return 0;
      const waitMs = this.waitMsAfter(failure);
      const refused = failure.status !== undefined && lastedMs < SHORT_WATCH_MS;
      const what = watchingSinceMs === undefined ? 'list' : refused ? 'refused watch' : 'watch';
      this.syncErrors.failed(failure, what, waitMs);
      return waitMs;
    } finally {
      this.settleFirst();
    }
  }

  private mustList(): boolean {
    const sinceListMs = this.deps.time.nowMs() - this.listedAtMs;
    return !this.resumable || this.ageMs() + WATCH_MS > this.confirmWithinMs || sinceListMs > RELIST_AFTER_MS;
  }

  private waitMsAfter({ status, retryAfterMs }: KubernetesFailure): number {
    // A server that is back is asked anew: however long it was away, that is no reason to wait now.
    if (status !== undefined && !this.answered) this.backOff.reset();
    this.answered = status !== undefined;
    const isOutage = status === undefined || status === 429 || status >= 500;
    const maxMs = isOutage ? MOST_MS_OF_OUTAGE : BACK_OFF.maxMs;
    // Where each refused watch means another list, lists take half of the time at most.
    return Math.max(this.backOff.nextMs(retryAfterMs, maxMs), this.listTookMs);
  }

  private async list(signal: AbortSignal): Promise<void> {
    const startedMs = this.deps.time.nowMs();
    const { objects, version } = await this.lister.list(this.held, signal);
    const [before, had] = [this.held, this.version];
    this.held = objects;
    for (const key of before.keys()) if (!objects.has(key)) this.options.onRemoved?.(key);
    for (const [key, now] of objects) if (before.get(key) !== now) this.options.onPut?.(key, now);
    this.version = version;
    this.proven(startedMs);
    this.listedAtMs = this.deps.time.nowMs();
    this.listTookMs = this.listedAtMs - startedMs;
    this.syncErrors.listed();
    this.options.onListed?.();
    this.settleFirst();
    if (had !== undefined && isOlder(version, had)) {
      const { path } = this;
      this.deps.log('warn', 'kubernetes_went_back', { path, had, has: version });
    }
  }

  private async watch(version: string, signal: AbortSignal): Promise<number> {
    const startedMs = this.deps.time.nowMs();
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
    await this.deps.api.watch(call, (line) => this.apply(line));
    const lastedMs = this.deps.time.nowMs() - startedMs;
    if (lastedMs < SHORT_WATCH_MS) return this.backOff.nextMs();
    this.works();
    this.resumable = lastedMs >= WATCH_MS - EARLY_MS;
    return 0;
  }

  private apply(line: unknown): void {
    if (this.stopping.signal.aborted) throw new KubernetesFailure('Stopped');
    const event = readEvent(line);
    const { version } = event.type === 'bookmark' ? event : event.object;
    if (isOlder(version, this.version ?? '')) throw new KubernetesFailure('WentBack', 410);
    this.version = version;
    if (event.type === 'put') {
      const { object } = event;
      const key = objectKeyOf(object.namespace, object.name);
      const value = this.options.read(object);
      this.held.set(key, value);
      this.options.onPut?.(key, value);
    } else if (event.type === 'removed') {
      const key = objectKeyOf(event.object.namespace, event.object.name);
      if (this.held.delete(key)) this.options.onRemoved?.(key);
    }
    this.proven(this.deps.time.nowMs());
    this.works();
  }

  private proven(atMs: number): void {
    this.syncedAtMs = atMs;
    this.ageAlarm.renewed();
  }

  private logOutdated(isOutdated: boolean): void {
    const { path } = this;
    if (isOutdated) this.deps.log('error', 'kubernetes_outdated', { path, reason: this.syncError });
    else this.deps.log('info', 'kubernetes_outdated_ended', { path });
  }

  /** A watch does what it is for. */
  private works(): void {
    this.backOff.reset();
    this.syncErrors.over();
  }
}
