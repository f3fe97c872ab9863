import { randomUUID, createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { InvalidationBus, type WrittenScope } from '../stores/cached/invalidation-bus';
import type { MonotonicTime } from '../time/clock';
import type { LogEvent } from '../logging/log';
import type { RedisClient } from './redis-client';
import type { Reloadable } from '../reloadable/reloadable';

/** How often each replica sends a heartbeat with the number of its writes. */
const HEARTBEAT_EVERY_MS = 500;
/** A write waits no longer than this for Redis to take its invalidation. */
const MAX_WAIT_MS = 250;

/**
 * Publishes writes over a channel that may lose messages. A lost message is noticed: each one has the number of its
 * sender's writes, heartbeats repeat it twice a second, and we receive our own. While the heartbeats of a replica are
 * missing, it may have written unnoticed.
 */
export class RedisInvalidationBus extends InvalidationBus {
  readonly #self = randomUUID();
  readonly #replicas = new KnownReplicas();
  #writes = 0;
  readonly #listeners: ((written: WrittenScope) => void)[] = [];
  #cancelHeartbeat: () => void = () => undefined;
  readonly #logged = new Set<string>();

  constructor(
    private readonly channel: Pick<RedisClient, 'isOpen' | 'publish' | 'listen'>,
    private readonly scopes: ScopeCipher,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    super();
    channel.listen({ received: (text) => this.#receive(text), opened: () => this.#opened() });
    this.#scheduleHeartbeat();
  }

  get received(): boolean {
    const nowMs = this.time.nowMs();
    return (
      this.channel.isOpen && this.#replicas.isAlive(this.#self, nowMs) && this.#replicas.areAllAlive(nowMs)
    );
  }

  async publish(written: WrittenScope): Promise<void> {
    this.#writes += 1;
    const head = { from: this.#self, writes: this.#writes };
    const sent = this.#send(
      written === 'unknown'
        ? { ...head, kind: 'all' }
        : { ...head, kind: 'scope', sealed: this.scopes.seal(written.scope, aboutOf(head)) },
    );
    await this.time.within(MAX_WAIT_MS, sent, () => undefined);
  }

  listen(written: (scope: WrittenScope) => void): void {
    this.#listeners.push(written);
  }

  /** Announces our end, so that nobody waits for our heartbeats. */
  async close(): Promise<void> {
    this.#cancelHeartbeat();
    await this.#send({ from: this.#self, writes: this.#writes, kind: 'bye' });
  }

  #invalidate(written: WrittenScope): void {
    for (const listener of this.#listeners) listener(written);
  }

  #opened(): void {
    this.#invalidate('unknown');
    this.#replicas.forget(this.#self);
    void this.#sendHeartbeat();
  }

  #receive(text: string): void {
    const message = parseMessage(text);
    if (message === undefined) return this.#logOnce('redis_invalidation_malformed');
    const { from, writes, kind } = message;
    const isWrite = kind === 'scope' || kind === 'all';
    const hasMissed = this.#replicas.received(from, writes, isWrite, this.time.nowMs());
    if (from === this.#self) return;
    if (hasMissed || kind === 'all') this.#invalidate('unknown');
    else if (kind === 'scope') this.#invalidate(this.#writtenScope(message));
    if (kind === 'bye') this.#replicas.forget(from);
  }

  #writtenScope(message: BusMessage & { readonly kind: 'scope' }): WrittenScope {
    const scope = this.scopes.open(message.sealed, aboutOf(message));
    if (scope !== undefined) return { scope };
    // The sender has another key, while it is replaced on one replica after the other.
    this.#logOnce('redis_invalidation_unreadable');
    return 'unknown';
  }

  /** Never rejects: a message that is not delivered is noticed by its number. */
  async #send(message: BusMessage): Promise<void> {
    await this.channel.publish(textOf(message)).catch(() => undefined);
  }

  #sendHeartbeat(): Promise<void> {
    return this.#send({ from: this.#self, writes: this.#writes, kind: 'beat' });
  }

  #scheduleHeartbeat(): void {
    this.#cancelHeartbeat = this.time.after(HEARTBEAT_EVERY_MS, () => {
      void this.#sendHeartbeat();
      this.#scheduleHeartbeat();
    });
  }

  #logOnce(event: string): void {
    if (this.#logged.has(event)) return;
    this.#logged.add(event);
    this.log('warn', event);
  }
}

/** A message between replicas. `beat` is a heartbeat, `bye` the end of a replica, `all` a write of an unknown scope. */
type BusMessage = {
  /** The sending process. */
  readonly from: string;
  /** How many writes the sender has made so far. */
  readonly writes: number;
} & (
  | { readonly kind: 'beat' | 'bye' | 'all' }
  /** A write, with its encrypted scope. */
  | { readonly kind: 'scope'; readonly sealed: string }
);

const MESSAGE = /^1 ([\w-]{1,64}) (\d{1,15}) (?:(beat|bye|all)|scope ([\w-]{1,8192}))$/;

function textOf(message: BusMessage): string {
  const { from, writes, kind } = message;
  return `1 ${from} ${writes} ${kind}${kind === 'scope' ? ` ${message.sealed}` : ''}`;
}

/** Returns undefined for a message that is not ours, or of another release. */
function parseMessage(text: string): BusMessage | undefined {
  const [, from, count, kind, sealed] = MESSAGE.exec(text) ?? [];
  if (from === undefined) return undefined;
  const writes = Number(count);
  if (sealed !== undefined) return { from, writes, kind: 'scope', sealed };
  return { from, writes, kind: kind as 'beat' | 'bye' | 'all' };
}

/** The part of a message that authenticates its scope. */
function aboutOf({ from, writes }: Pick<BusMessage, 'from' | 'writes'>): string {
  return `${from} ${writes}`;
}

/** Allows for two late heartbeats, or a lost one. */
const SILENT_AFTER_MS = 1_500;
/** A replica that ended without a `bye` is forgotten after this time. */
const FORGOTTEN_AFTER_MS = 300_000;
/** Whoever may write to Redis can invent replicas: what one beyond these says counts as a write of any scope. */
const MAX_REPLICAS = 1_000;

interface Replica {
  readonly writes: number;
  readonly receivedAtMs: number;
}

/** The replicas that we know of, when each was last received, and how many writes it has announced. */
class KnownReplicas {
  readonly #known = new Map<string, Replica>();

  /** Returns true where all known replicas are alive; those that were silent for long are forgotten. */
  areAllAlive(nowMs: number): boolean {
    for (const [from, { receivedAtMs }] of this.#known) {
      const silentMs = nowMs - receivedAtMs;
      if (silentMs > FORGOTTEN_AFTER_MS) this.#known.delete(from);
      else if (silentMs > SILENT_AFTER_MS) return false;
    }
    return true;
  }

  isAlive(from: string, nowMs: number): boolean {
    return nowMs - (this.#known.get(from)?.receivedAtMs ?? -Infinity) <= SILENT_AFTER_MS;
  }

  /** Records a message of a replica; returns true where writes of it were missed, or may have been. */
  received(from: string, writes: number, isWrite: boolean, nowMs: number): boolean {
    if (this.#known.size >= MAX_REPLICAS && !this.#known.has(from)) return true;
    const before = this.#known.get(from)?.writes ?? 0;
    this.#known.set(from, { writes: Math.max(writes, before), receivedAtMs: nowMs });
    return writes > before + (isWrite ? 1 : 0);
  }

  forget(from: string): void {
    this.#known.delete(from);
  }
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
const PURPOSE = 'olares-secret-provider write announcements 1';

/**
 * Encrypts scopes on their way through Redis: they name users and workspaces, which Redis must not see. A key that other
 * replicas do not have (yet, while it is replaced) is noticed, since they cannot decrypt.
 */
export class ScopeCipher {
  readonly #derived = new WeakMap<Uint8Array, Buffer>();

  /** @param key the same on every replica */
  constructor(private readonly key: Reloadable<Uint8Array>) {}

  /** Encrypts a scope. @param about is sent along in clear text, and is authenticated */
  seal(scope: string, about: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#derive(this.key.current()), iv);
    cipher.setAAD(Buffer.from(about));
    const sealed = [cipher.update(scope, 'utf8'), cipher.final()];
    return Buffer.concat([iv, ...sealed, cipher.getAuthTag()]).toString('base64url');
  }

  /** Decrypts a scope; returns undefined where none of the keys fits. */
  open(text: string, about: string): string | undefined {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
    for (const { value } of this.key.versions) {
      const scope = decrypt(bytes, about, this.#derive(value));
      if (scope !== undefined) return scope;
    }
    return undefined;
  }

  #derive(key: Uint8Array): Buffer {
    const derived = this.#derived.get(key) ?? Buffer.from(hkdfSync('sha256', key, '', PURPOSE, 32));
    this.#derived.set(key, derived);
    return derived;
  }
}

function decrypt(bytes: Buffer, about: string, key: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES));
    decipher.setAAD(Buffer.from(about));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}
