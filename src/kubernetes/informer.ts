import type { LogEvent } from '../logging/log';
import type { MonotonicTime } from '../time/clock';
import { isOlder, type ListOptions, objectKeyOf, ObjectLister, readEvent } from './kube-object';
import { type KubernetesApi, KubernetesFailure, kubernetesFailureOf } from './kubernetes-api';
import { AgeAlarm, type ObservedWatch, SyncErrors } from './sync-errors';

export interface InformerOptions<T> extends ListOptions<T> {
  /** A kind that the cluster does not have (404) counts as listed and empty; it may be installed later. */
  readonly absentIsEmpty?: boolean;
  /**
   * Called in the same synchronous step in which the mirror changes. A list calls it only for objects whose value is not
   * deeply equal to the previous one.
   */
  readonly onPut?: (key: string, value: T) => void;
  readonly onRemoved?: (key: string) => void;
  /** Called after each complete list and its puts and removals. */
  readonly onListed?: () => void;
  /** Called after each failure, before the pause that follows. */
  readonly onFailed?: (failure: KubernetesFailure) => void;
  /** Called when the mirror has become older than `maxAgeMs`, and when it is synced again. Without it, both are logged. */
  readonly onOutdated?: (isOutdated: boolean) => void;
}

export interface InformerDeps {
  readonly api: KubernetesApi;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Returns a number from 0 up to 1. */
  readonly random?: () => number;
  readonly watches?: Set<ObservedWatch>;
  /** How old the mirror may get before it no longer counts; GRANTS_MAX_AGE_S. */
  readonly maxAgeMs: number;
}

/** The server is asked to end a watch after this time. */
const WATCH_MS = 30_000;
/** A watch that has not ended this much later is half-open. */
const GRACE_MS = 5_000;
/** A watch that ends regularly, but earlier by more than this, was ended by the server for a reason. */
const EARLY_MS = 1_000;
/** After a watch that was shorter than this, the next one is delayed. */
const SHORT_WATCH_MS = 5_000;
/** After so long without an event there is a list: the watch may wait for a revision that the server will never have. */
const CONFIRM_WITHIN_MS = 120_000;
/** After this time there is a list, whatever the watches deliver. */
const RELIST_AFTER_MS = 600_000;
/** A kind that the cluster does not have is asked for again after this time. */
const ABSENT_RETRY_MS = 15_000;

/**
 * Mirrors one collection of the API server: a full list, then watches, each of which resumes where the last one ended
 * regularly. After anything else comes another list: the server may have been restored from a backup meanwhile, and would
 * silently resume a version of another history. The mirror is never emptied while the server is away; a new list replaces
 * it in one step, so that no deletion is missed.
 * docs/decisions/0004-kubernetes-watch.md says why the informer of the client library is not used.
 */
export class Informer<T> implements ObservedWatch {
  readonly path: string;
  private objects = new Map<string, T>();
  private version: string | undefined;
  private syncedAtMs: number | undefined;
  private listedAtMs = -Infinity;
  /** Whether the next watch may resume from `version`. */
  private resumable = false;
  private running: Promise<void> | undefined;
  private listTookMs = 0;
  private readonly ageAlarm: AgeAlarm;
  private readonly stopping = new AbortController();
  private readonly lister: ObjectLister<T>;
  private readonly syncErrors: SyncErrors;
  private settleFirst: () => void = () => undefined;
  /** Resolves with the first full list, or with the first failure if that comes first. */
  readonly firstOutcome = new Promise<void>((resolve) => (this.settleFirst = resolve));

  constructor(
    private readonly options: InformerOptions<T>,
    private readonly deps: InformerDeps,
  ) {
    this.path = options.path;
    const onOutdated = options.onOutdated ?? ((isOutdated) => this.logOutdated(isOutdated));
    this.ageAlarm = new AgeAlarm(deps.maxAgeMs, deps.time, () => this.ageMs(), onOutdated);
    this.lister = new ObjectLister(options, deps.api);
    this.syncErrors = new SyncErrors(options.path, deps);
  }

  start(): void {
    this.deps.watches?.add(this);
    this.running ??= this.run();
  }

  /** Resolves when no request is running any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.ageAlarm.stop();
    this.deps.watches?.delete(this);
    await this.running;
    this.settleFirst();
  }

  /** True once there was a full list; before, a missing key means nothing. */
  get listed(): boolean {
    return this.syncedAtMs !== undefined;
  }

  get up(): boolean {
    return this.listed && this.syncError === undefined;
  }

  keys(): Iterable<string> {
    return this.objects.keys();
  }

  get(key: string): T | undefined {
    return this.objects.get(key);
  }

  /** The latest failure since the last sync, in a few words. */
  get syncError(): string | undefined {
    return this.syncErrors.message;
  }

  get lasting(): ObservedWatch['lasting'] {
    return this.syncErrors.lasting;
  }

  /** Time since the server last proved that the mirror is complete: the start of a list, an event or a bookmark. A silent watch proves nothing. */
  ageMs(): number {
    return this.syncedAtMs === undefined ? Infinity : this.deps.time.nowMs() - this.syncedAtMs;
  }

  /** Whether the mirror is too old to count. */
  get isOutdated(): boolean {
    return this.ageMs() > this.deps.maxAgeMs;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const waitMs = await this.listAndWatch(signal);
      if (waitMs > 0) await this.deps.time.pause(waitMs, signal);
    }
  }

  /** Lists where that is necessary, then watches once; returns how long to wait before the next time. */
  private async listAndWatch(signal: AbortSignal): Promise<number> {
    const { time, maxAgeMs } = this.deps;
    const confirmWithinMs = Math.min(CONFIRM_WITHIN_MS, maxAgeMs / 2);
    const sinceListMs = time.nowMs() - this.listedAtMs;
    const mustList =
      !this.resumable || this.ageMs() + WATCH_MS > confirmWithinMs || sinceListMs > RELIST_AFTER_MS;
    let watchingSinceMs: number | undefined;
    try {
      if (mustList) await this.list(signal);
      this.resumable = false;
      watchingSinceMs = time.nowMs();
      return await this.watch(this.version ?? '', signal);
    } catch (error: unknown) {
      if (signal.aborted) return 0;
      const failure = kubernetesFailureOf(error);
      if (this.options.absentIsEmpty === true && this.syncErrors.isAbsent(failure, this.objects.size === 0)) {
        this.adopt(new Map(), undefined, time.nowMs());
        return ABSENT_RETRY_MS;
      }
      const lastedMs = watchingSinceMs === undefined ? 0 : time.nowMs() - watchingSinceMs;
      // The mirror is outdated and the server answers: list at once.
      if (failure.gone && (!mustList || lastedMs >= SHORT_WATCH_MS)) return 0;
      const refused = failure.status !== undefined && lastedMs < SHORT_WATCH_MS;
      const what = watchingSinceMs === undefined ? 'list' : refused ? 'refused watch' : 'watch';
      const waitMs = this.syncErrors.failed(failure, what, this.listTookMs);
      this.options.onFailed?.(failure);
      return waitMs;
    } finally {
      this.settleFirst();
    }
  }

  private async list(signal: AbortSignal): Promise<void> {
    const startedMs = this.deps.time.nowMs();
    const { objects, version } = await this.lister.list(this.objects, signal);
    const had = this.version ?? '';
    this.adopt(objects, version, startedMs);
    if (isOlder(version, had))
      this.deps.log('warn', 'kubernetes_went_back', { path: this.path, had, has: version });
  }

  private adopt(objects: Map<string, T>, version: string | undefined, startedMs: number): void {
    const before = this.objects;
    this.objects = objects;
    for (const key of before.keys()) if (!objects.has(key)) this.options.onRemoved?.(key);
    for (const [key, now] of objects) if (before.get(key) !== now) this.options.onPut?.(key, now);
    this.version = version;
    this.synced(startedMs);
    this.listedAtMs = this.deps.time.nowMs();
    this.listTookMs = this.listedAtMs - startedMs;
    this.syncErrors.listed();
    this.options.onListed?.();
    this.settleFirst();
  }

  /** Watches until the server ends the watch; returns how long to wait before the next one. */
  private async watch(version: string, signal: AbortSignal): Promise<number> {
    const startedMs = this.deps.time.nowMs();
    const { path, labelSelector, fieldSelector } = this.options;
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: version,
      timeoutSeconds: String(WATCH_MS / 1000),
      labelSelector,
      fieldSelector,
    };
    const call = { method: 'GET', path, query, timeoutMs: WATCH_MS + GRACE_MS, signal } as const;
    await this.deps.api.watch(call, (line) => this.apply(line));
    const lastedMs = this.deps.time.nowMs() - startedMs;
    if (lastedMs < SHORT_WATCH_MS) return this.syncErrors.waitMsAfterShortWatch();
    this.syncErrors.recovered();
    this.resumable = lastedMs >= WATCH_MS - EARLY_MS;
    return 0;
  }

  private apply(line: unknown): void {
    if (this.stopping.signal.aborted) throw new KubernetesFailure('Stopped');
    const event = readEvent(line);
    const { version } = event.type === 'bookmark' ? event : event.object;
    if (isOlder(version, this.version ?? '')) throw new KubernetesFailure('WentBack', 410);
    this.version = version;
    if (event.type !== 'bookmark') {
      const key = objectKeyOf(event.object.namespace, event.object.name);
      if (event.type === 'put') {
        const value = this.options.read(event.object);
        this.objects.set(key, value);
        this.options.onPut?.(key, value);
      } else if (this.objects.delete(key)) this.options.onRemoved?.(key);
    }
    this.synced(this.deps.time.nowMs());
    this.syncErrors.recovered();
  }

  private synced(atMs: number): void {
    this.syncedAtMs = atMs;
    this.ageAlarm.renewed();
  }

  logOutdated(isOutdated: boolean): void {
    const { path } = this;
    if (isOutdated) this.deps.log('error', 'kubernetes_outdated', { path, reason: this.syncError });
    else this.deps.log('info', 'kubernetes_outdated_ended', { path });
  }
}
