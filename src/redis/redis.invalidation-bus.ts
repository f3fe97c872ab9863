import { randomUUID } from 'node:crypto';
import { InvalidationBus, type WrittenScope } from '../stores/cached/invalidation-bus';
import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { Channel } from './redis-client';
import type { ScopeCipher } from './scope-cipher';

/** What replicas say to each other; `of` counts what its speaker has written so far. */
type Invalidation = {
  /** Who speaks: one process, from its start to its end. */
  readonly from: string;
  readonly of: number;
} & (
  | { readonly kind: 'beat' | 'bye' | 'all' }
  /** The scope that was written, sealed. */
  | { readonly kind: 'scope'; readonly sealed: string }
);

const FORM = /^1 ([\w-]{1,64}) (\d{1,15}) (?:(beat|bye|all)|scope ([\w-]{1,8192}))$/;

function textOf(invalidation: Invalidation): string {
  const { from, of, kind } = invalidation;
  const head = `1 ${from} ${of} ${kind}`;
  return kind === 'scope' ? `${head} ${invalidation.sealed}` : head;
}

/** Undefined for what is none of ours, or of another release. */
function invalidationIn(text: string): Invalidation | undefined {
  const [, from, count, kind, sealed] = FORM.exec(text) ?? [];
  if (from === undefined) return undefined;
  const of = Number(count);
  if (sealed !== undefined) return { from, of, kind: 'scope', sealed };
  return { from, of, kind: kind as 'beat' | 'bye' | 'all' };
}

/** Two beats may be late, or one be lost. */
const SILENT_AFTER_MS = 1_500;
/** Whoever ended without a word is not waited for longer than this. */
const FORGOTTEN_AFTER_MS = 300_000;

interface Replica {
  readonly wrote: number;
  readonly heardAtMs: number;
}

/** Who else is there, whether each of them is still heard, and how many writes each has told of. */
class KnownReplicas {
  readonly #known = new Map<string, Replica>();

  /** Whether all of these are heard; those who have been silent for long are gone. */
  areHeard(nowMs: number): boolean {
    for (const [from, { heardAtMs }] of this.#known) {
      const silentMs = nowMs - heardAtMs;
      if (silentMs > FORGOTTEN_AFTER_MS) this.#known.delete(from);
      else if (silentMs > SILENT_AFTER_MS) return false;
    }
    return true;
  }

  isHeard(from: string, nowMs: number): boolean {
    const replica = this.#known.get(from);
    return replica !== undefined && nowMs - replica.heardAtMs <= SILENT_AFTER_MS;
  }

  /** Notes that it was heard. The answer: whether writes of it were missed, or may have been. */
  hear(from: string, wrote: number, tellsOfOne: boolean, nowMs: number): boolean {
    const before = this.#known.get(from);
    this.#known.set(from, { wrote: Math.max(wrote, before?.wrote ?? 0), heardAtMs: nowMs });
    if (before === undefined) return wrote > (tellsOfOne ? 1 : 0);
    return wrote > before.wrote + (tellsOfOne ? 1 : 0);
  }

  forget(from: string): void {
    this.#known.delete(from);
  }
}

/** Each replica says so often that it is there, and how much it has written. */
const BEAT_EVERY_MS = 500;
/** A write waits no longer than this for Redis to take its announcement. */
const PATIENCE_MS = 250;

/**
 * Writes told over a channel on which messages can get lost. What makes a lost one known: each message says how many
 * writes its speaker has made, beats say so twice a second, and we hear our own. Who is not heard is not trusted to be silent.
 */
export class RedisInvalidationBus extends InvalidationBus {
  readonly #self = randomUUID();
  readonly #replicas = new KnownReplicas();
  #wrote = 0;
  readonly #listeners: ((written: WrittenScope) => void)[] = [];
  #cancelBeat: () => void = () => undefined;
  readonly #logged = new Set<string>();

  constructor(
    private readonly channel: Channel,
    private readonly scopes: ScopeCipher,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    super();
    channel.listen({ received: (text) => this.#hear(text), opened: () => this.#opened() });
    this.#beatLater();
  }

  get received(): boolean {
    const nowMs = this.time.nowMs();
    return this.channel.isOpen && this.#replicas.isHeard(this.#self, nowMs) && this.#replicas.areHeard(nowMs);
  }

  async publish(written: WrittenScope): Promise<void> {
    this.#wrote += 1;
    const from = { from: this.#self, of: this.#wrote };
    const said = this.#say(
      written === 'unknown'
        ? { ...from, kind: 'all' }
        : { ...from, kind: 'scope', sealed: this.scopes.seal(written.scope, aboutOf(from)) },
    );
    let cancel: () => void = () => undefined;
    const waitLimit = new Promise<void>((resolve) => (cancel = this.time.after(PATIENCE_MS, resolve)));
    await Promise.race([said, waitLimit]);
    cancel();
  }

  listen(written: (scope: WrittenScope) => void): void {
    this.#listeners.push(written);
  }

  /** Says good-bye, so that nobody waits for our beats. */
  async close(): Promise<void> {
    this.#cancelBeat();
    await this.#say({ from: this.#self, of: this.#wrote, kind: 'bye' });
  }

  #tell(written: WrittenScope): void {
    for (const listener of this.#listeners) listener(written);
  }

  #opened(): void {
    this.#tell('unknown');
    this.#replicas.forget(this.#self);
    void this.#heartbeat();
  }

  #hear(text: string): void {
    const said = invalidationIn(text);
    if (said === undefined) return this.#logOnce('redis_invalidation_malformed');
    const { from, of, kind } = said;
    const tellsOfOne = kind === 'scope' || kind === 'all';
    const missed = this.#replicas.hear(from, of, tellsOfOne, this.time.nowMs());
    if (from === this.#self) return;
    if (missed || kind === 'all') this.#tell('unknown');
    else if (kind === 'scope') this.#tell(this.#written(said));
    if (kind === 'bye') this.#replicas.forget(from);
  }

  #written(said: Invalidation & { readonly kind: 'scope' }): WrittenScope {
    const scope = this.scopes.open(said.sealed, aboutOf(said));
    if (scope !== undefined) return { scope };
    // Another key, while it is replaced on one replica after the other.
    this.#logOnce('redis_invalidation_unreadable');
    return 'unknown';
  }

  /** Never rejects: what is not heard is missed by its number. */
  async #say(invalidation: Invalidation): Promise<void> {
    await this.channel.publish(textOf(invalidation)).catch(() => undefined);
  }

  async #heartbeat(): Promise<void> {
    await this.#say({ from: this.#self, of: this.#wrote, kind: 'beat' });
  }

  #beatLater(): void {
    this.#cancelBeat = this.time.after(BEAT_EVERY_MS, () => {
      void this.#heartbeat();
      this.#beatLater();
    });
  }

  #logOnce(event: string): void {
    if (this.#logged.has(event)) return;
    this.#logged.add(event);
    this.log('warn', event);
  }
}

function aboutOf({ from, of }: Pick<Invalidation, 'from' | 'of'>): string {
  return `${from} ${of}`;
}
