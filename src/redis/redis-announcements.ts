import { randomUUID } from 'node:crypto';
import { WriteAnnouncements, type WrittenScope } from '../cache/write-announcements';
import type { MonotonicTime } from '../clock/monotonic-time';
import type { LogEvent } from '../logging/log';
import { type Announcement, announcementIn, textOf } from './announcement';
import type { Channel } from './channel';
import { KnownReplicas } from './known-replicas';
import type { SealedScopes } from './sealed-scopes';

/** Each replica says so often that it is there, and how much it has written. */
const BEAT_EVERY_MS = 500;
/** A write waits no longer than this for Redis to take its announcement. */
const PATIENCE_MS = 250;

/**
 * Writes told over a channel on which messages can get lost. What makes a lost one known: each message says how many
 * writes its speaker has made, beats say so twice a second, and we hear our own. Who is not heard is not trusted to be silent.
 */
export class RedisAnnouncements extends WriteAnnouncements {
  readonly #self = randomUUID();
  readonly #replicas = new KnownReplicas();
  #wrote = 0;
  readonly #listeners: ((written: WrittenScope) => void)[] = [];
  #cancelBeat: () => void = () => undefined;
  readonly #logged = new Set<string>();

  constructor(
    private readonly channel: Channel,
    private readonly scopes: SealedScopes,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    super();
    channel.listen({ heard: (text) => this.#hear(text), opened: () => this.#opened() });
    this.#beatLater();
  }

  get heard(): boolean {
    const nowMs = this.time.nowMs();
    return this.channel.isOpen && this.#replicas.isHeard(this.#self, nowMs) && this.#replicas.areHeard(nowMs);
  }

  async announce(written: WrittenScope): Promise<void> {
    this.#wrote += 1;
    const from = { from: this.#self, of: this.#wrote };
    const said = this.#say(
      written === 'unknown'
        ? { ...from, kind: 'all' }
        : { ...from, kind: 'scope', sealed: this.scopes.seal(written.scope, aboutOf(from)) },
    );
    let cancel: () => void = () => undefined;
    const patience = new Promise<void>((resolve) => (cancel = this.time.after(PATIENCE_MS, resolve)));
    await Promise.race([said, patience]);
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
    void this.#beat();
  }

  #hear(text: string): void {
    const said = announcementIn(text);
    if (said === undefined) return this.#logOnce('redis.announcement.malformed');
    const { from, of, kind } = said;
    const tellsOfOne = kind === 'scope' || kind === 'all';
    const missed = this.#replicas.hear(from, of, tellsOfOne, this.time.nowMs());
    if (from === this.#self) return;
    if (missed || kind === 'all') this.#tell('unknown');
    else if (kind === 'scope') this.#tell(this.#written(said));
    if (kind === 'bye') this.#replicas.forget(from);
  }

  #written(said: Announcement & { readonly kind: 'scope' }): WrittenScope {
    const scope = this.scopes.open(said.sealed, aboutOf(said));
    if (scope !== undefined) return { scope };
    // Another key, while it is replaced on one replica after the other.
    this.#logOnce('redis.announcement.unreadable');
    return 'unknown';
  }

  /** Never rejects: what is not heard is missed by its number. */
  async #say(announcement: Announcement): Promise<void> {
    await this.channel.publish(textOf(announcement)).catch(() => undefined);
  }

  async #beat(): Promise<void> {
    await this.#say({ from: this.#self, of: this.#wrote, kind: 'beat' });
  }

  #beatLater(): void {
    this.#cancelBeat = this.time.after(BEAT_EVERY_MS, () => {
      void this.#beat();
      this.#beatLater();
    });
  }

  #logOnce(event: string): void {
    if (this.#logged.has(event)) return;
    this.#logged.add(event);
    this.log('warn', event);
  }
}

function aboutOf({ from, of }: Pick<Announcement, 'from' | 'of'>): string {
  return `${from} ${of}`;
}
